"""The status as Prometheus metrics (text format 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

PREFIX: Final = "connect_proxy_builtin"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

HELP: Final = {
    "connections": ("gauge", "Connections that are open now."),
    "accepted_total": ("counter", "Connections that were accepted."),
    "handshakes_total": ("counter", "TLS handshakes that were completed."),
    "handshakes_resumed_total": ("counter", "Of those, how many resumed a session."),
    "tls_versions_total": ("counter", "TLS handshakes that were completed, by the version agreed on."),
    "received_bytes_total": ("counter", "Bytes that came from the mesh, decrypted."),
    "sent_bytes_total": ("counter", "Bytes that went into the mesh, before encryption."),
    "ended_total": ("counter", "Relayed connections by how they ended: orderly, or cut off."),
    "refused_total": ("counter", "Connections that were not relayed, or cut off by us, by reason."),
    "attempts_failed_total": ("counter", "Attempts to reach an upstream instance, by what failed."),
    "accept_pauses_total": ("counter", "Times that accepting paused since descriptors ran out."),
    "defects_total": ("counter", "Connections that were lost to a defect of this program."),
    "certificate_expiry_seconds": ("gauge", "Seconds until the leaf certificate expires."),
    "ready": ("gauge", "1 if every listener is open and the leaf is valid."),
    "snapshot_generation": ("gauge", "How often what Consul says has changed."),
    "upstream_connections": ("gauge", "Open connections to an upstream instance."),
    "upstream_avoided": ("gauge", "1 while an upstream instance is avoided after failures."),
}
DIRECTIONS: Final = {
    "open": "connections",
    "accepted": "accepted_total",
    "handshakes": "handshakes_total",
    "handshakes_resumed": "handshakes_resumed_total",
    "bytes_received": "received_bytes_total",
    "bytes_sent": "sent_bytes_total",
}
"""Counters of the workers, without ``inbound_`` or ``outbound_``."""
REASONS: Final = {"refused": "refused_total", "attempts_failed": "attempts_failed_total"}


class _Page(Collector):
    """A collector of one scrape: families in the order of their first sample."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, name: str, value: float, **labels: str) -> None:
        """One sample of the family *name* of :data:`HELP`."""
        kind, text = HELP[name]
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Metric(f"{PREFIX}_{name.removesuffix('_total')}", text, kind)
        family.add_sample(f"{PREFIX}_{name}", labels, value)

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client's registries ask for."""
        yield from self._families.values()


def exposition(status: Mapping[str, Any]) -> bytes:
    """The page for a scrape, from what ``status()`` gives."""
    page = _Page()
    page.add("ready", int(status["ready"]))
    if "snapshot_generation" in status:
        page.add("snapshot_generation", status["snapshot_generation"])
    if "expires_in_s" in status["certificate"]:
        page.add("certificate_expiry_seconds", status["certificate"]["expires_in_s"])
    for name, value in status.get("counters", {}).items():
        _add_counter(page, name, value)
    for upstream, instances in status.get("upstreams", {}).items():
        _add_instances(page, upstream, instances)
    registry = CollectorRegistry()
    registry.register(page)
    return generate_latest(registry)


def _add_counter(page: _Page, name: str, value: int) -> None:
    direction, _, rest = name.partition("_")
    kind, _, reason = rest.partition(".")
    if direction not in {"inbound", "outbound"}:
        page.add(f"{name}_total", value)
    elif kind == "tls_versions":
        page.add("tls_versions_total", value, direction=direction, version=reason)
    elif reason:
        page.add(REASONS[kind], value, direction=direction, reason=reason)
    elif rest in DIRECTIONS:
        page.add(DIRECTIONS[rest], value, direction=direction)
    else:  # ended, cut
        page.add("ended_total", value, direction=direction, how="orderly" if rest == "ended" else rest)


def _add_instances(page: _Page, upstream: str, instances: Iterable[Mapping[str, Any]]) -> None:
    for instance in instances:
        labels = {
            "upstream": upstream,
            "instance": instance["address"],
            "worker": str(instance["worker"]),
        }
        page.add("upstream_connections", instance["open"], **labels)
        page.add("upstream_avoided", int(instance["avoided"]), **labels)
