from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from connect_proxy_builtin.metrics import HELP, PREFIX, exposition

STATUS: dict[str, Any] = {
    "ready": True,
    "snapshot_generation": 7,
    "certificate": {"valid": True, "expires_in_s": 1234},
    "counters": {
        "accept_pauses": 1,
        "defects": 0,
        "inbound_accepted": 5,
        "inbound_bytes_received": 100,
        "inbound_bytes_sent": 200,
        "inbound_cut": 1,
        "inbound_ended": 3,
        "inbound_handshakes": 4,
        "inbound_open": 2,
        "inbound_refused.denied": 6,
        "inbound_tls_versions.TLSv1.2": 4,
        "outbound_attempts_failed.timeout": 8,
        "outbound_handshakes_resumed": 9,
        "outbound_refused.no_healthy_instance": 2,
    },
    "upstreams": {
        'd"b\\': [{"address": "10.0.0.1:1", "open": 3, "avoided": True, "failures": 2, "worker": 0}]
    },
}


def samples(status: dict[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """As Prometheus reads the page."""
    return {
        (sample.name.removeprefix(f"{PREFIX}_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(status).decode())
        for sample in family.samples
    }


def test_every_figure_is_on_the_page() -> None:
    inbound, outbound = ("direction", "inbound"), ("direction", "outbound")
    instance = (("instance", "10.0.0.1:1"), ("upstream", 'd"b\\'), ("worker", "0"))
    assert samples(STATUS) == {
        ("ready", ()): 1,
        ("snapshot_generation", ()): 7,
        ("certificate_expiry_seconds", ()): 1234,
        ("accept_pauses_total", ()): 1,
        ("defects_total", ()): 0,
        ("accepted_total", (inbound,)): 5,
        ("received_bytes_total", (inbound,)): 100,
        ("sent_bytes_total", (inbound,)): 200,
        ("ended_total", (inbound, ("how", "cut"))): 1,
        ("ended_total", (inbound, ("how", "orderly"))): 3,
        ("handshakes_total", (inbound,)): 4,
        ("tls_versions_total", (inbound, ("version", "TLSv1.2"))): 4,
        ("connections", (inbound,)): 2,
        ("refused_total", (inbound, ("reason", "denied"))): 6,
        ("attempts_failed_total", (outbound, ("reason", "timeout"))): 8,
        ("handshakes_resumed_total", (outbound,)): 9,
        ("refused_total", (outbound, ("reason", "no_healthy_instance"))): 2,
        ("upstream_connections", instance): 3,
        ("upstream_avoided", instance): 1,
    }


def test_every_family_has_its_kind_and_its_help() -> None:
    for family in text_string_to_metric_families(exposition(STATUS).decode()):
        name = family.name.removeprefix(f"{PREFIX}_")
        kind, text = HELP[f"{name}_total" if family.type == "counter" else name]
        assert (family.type, family.documentation) == (kind, text)


def test_before_the_first_snapshot_there_is_a_page_too() -> None:
    assert samples({"ready": False, "certificate": {"valid": False}}) == {("ready", ()): 0}
