import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connect_proxy.consul import wire
from connect_proxy.errors import AgentAnswerError
from support import consul_answers

HERE = "GET /v1/x"


def refusal_of(read: Callable[[], object]) -> str:
    """The text of the AgentAnswerError, empty if the value was taken."""
    try:
        read()
    except AgentAnswerError as exc:
        return str(exc)
    return ""


def test_a_body_that_is_no_json_is_named_by_endpoint_and_not_shown() -> None:
    with pytest.raises(AgentAnswerError, match="GET /v1/x is not JSON") as failure:
        wire.decode(b'{"PrivateKeyPEM": "TOP-SECRET', endpoint=HERE)
    assert "TOP-SECRET" not in str(failure.value)
    assert failure.value.status == 0


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"9" * 10_000])
def test_strange_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(AgentAnswerError, match="not JSON"):
        wire.decode(body, endpoint=HERE)


def test_a_sidecars_registration_is_read() -> None:
    upstream = {
        "DestinationType": "prepared_query",
        "DestinationName": "geo-cache",
        "Datacenter": "dc2",
        "LocalBindPort": 9191,
        "Config": {"connect_timeout_ms": 1000},
    }
    found = wire.registration(consul_answers.sidecar(upstreams=[upstream]), endpoint=HERE)
    assert (found.id, found.name, found.kind) == ("web-sidecar-proxy", "web-sidecar-proxy", "connect-proxy")
    assert (found.port, found.local_service_port) == (21000, 8080)
    assert (found.destination_service_name, found.destination_service_id) == ("web", "web")
    assert found.content_hash == "d910a850f7d70916"
    assert found.upstreams[0].id == "prepared_query:geo-cache?dc=dc2"
    assert found.upstreams[0].local_bind_port == 9191
    assert found.upstreams[0].config["connect_timeout_ms"] == 1000


def test_unix_sockets_instead_of_ports_are_read() -> None:
    body = consul_answers.sidecar(
        upstreams=[
            {"DestinationName": "db", "LocalBindSocketPath": "/run/db.sock", "LocalBindSocketMode": "0660"}
        ]
    )
    body["Proxy"]["LocalServiceSocketPath"] = "/run/web.sock"
    found = wire.registration(body, endpoint=HERE)
    assert found.local_service_socket_path == "/run/web.sock"
    assert found.upstreams[0].local_bind_socket_path == "/run/db.sock"
    assert found.upstreams[0].local_bind_socket_mode == "0660"


def test_a_registration_in_snake_case_is_read_too() -> None:
    body = {"kind": "connect-proxy", "id": "p", "proxy": {"destination_service_name": "web"}}
    assert wire.registration(body, endpoint=HERE).destination_service_name == "web"


def test_the_older_spelling_of_the_destination_is_read() -> None:
    body = {"Kind": "connect-proxy", "ID": "p", "ProxyDestination": "web"}
    assert wire.registration(body, endpoint=HERE).destination_service_name == "web"


def test_a_service_without_a_proxy_part_has_the_defaults() -> None:
    found = wire.registration(consul_answers.plain_service(), endpoint=HERE)
    assert found.kind == ""
    assert found.upstreams == ()
    assert found.local_service_address == "127.0.0.1"
    assert (found.namespace, found.partition) == ("default", "default")


def test_services_are_read_by_id() -> None:
    body = {"web": consul_answers.plain_service(), "p": consul_answers.sidecar(proxy_id="p")}
    found = wire.registrations(body, endpoint=HERE)
    assert {name: one.kind for name, one in found.items()} == {"web": "", "p": "connect-proxy"}


def test_services_whose_ids_differ_in_case_are_not_mixed_up() -> None:
    found = wire.registrations({"a_b": {"Port": 1}, "AB": {"Port": 2}}, endpoint=HERE)
    assert {name: one.port for name, one in found.items()} == {"a_b": 1, "AB": 2}


@pytest.mark.parametrize(
    "missing",
    [{"TrustDomain": ""}, {"Roots": []}, {"Roots": None}, {"Roots": [{"ID": "new", "Active": True}]}],
)
def test_roots_of_a_ca_that_is_not_ready_are_no_answer(missing: dict[str, Any]) -> None:
    body = {**consul_answers.roots("new"), **missing}

    with pytest.raises(AgentAnswerError, match="not ready yet"):
        wire.roots(body, endpoint=HERE)


def test_roots_are_read_with_their_intermediates() -> None:
    body = consul_answers.roots("old", "new")
    body["Roots"][1]["IntermediateCerts"] = ["CROSS-SIGNED"]
    found = wire.roots(body, endpoint=HERE)
    assert found.trust_domain == consul_answers.TRUST_DOMAIN
    assert found.active_root_id == "new"
    assert [(root.id, root.active) for root in found.roots] == [("old", False), ("new", True)]
    assert found.roots[1].pem.endswith("-----END CERTIFICATE-----\nCROSS-SIGNED\n")


def test_a_leaf_is_read_and_its_key_is_hidden() -> None:
    begins = datetime(2026, 11, 22, tzinfo=UTC)
    found = wire.leaf(consul_answers.leaf(begins=begins), endpoint=HERE)
    assert (found.service, found.serial) == ("web", "08")
    assert found.valid_after == begins
    assert (found.valid_before - begins).days == 3
    assert "TOP-SECRET" in found.private_key.reveal()
    assert "TOP-SECRET" not in repr(found)


@pytest.mark.parametrize("missing", ["CertPEM", "PrivateKeyPEM", "ValidAfter", "ValidBefore"])
def test_a_leaf_without_a_part_it_needs_is_refused(missing: str) -> None:
    body = consul_answers.leaf()
    del body[missing]
    with pytest.raises(AgentAnswerError, match=missing):
        wire.leaf(body, endpoint=HERE)


def test_intentions_come_in_precedence_order() -> None:
    body = [consul_answers.intention("*", "db", "allow"), consul_answers.intention("web", "db", "deny")]
    found = wire.intentions(body, endpoint=HERE)
    assert [(one.source_name, one.allow) for one in found] == [("web", False), ("*", True)]


@pytest.mark.parametrize("action", [None, "", "ALLOW", "permit"])
def test_an_intention_that_does_not_say_allow_denies(action: Any) -> None:
    body = consul_answers.intention("web", "db", "x") | {"Action": action}
    assert not wire.intentions([body], endpoint=HERE)[0].allow


def test_matched_intentions_are_found_under_the_name_asked_for() -> None:
    rule = consul_answers.intention("web", "my_db", "deny")
    found = wire.matched_intentions({"my_db": [rule], "mydb": None}, "my_db", endpoint=HERE)
    assert [one.source_name for one in found] == ["web"]
    assert wire.matched_intentions({"my_db": None}, "my_db", endpoint=HERE) == ()


def test_a_proxys_instance_is_dialled_at_the_node_and_stands_for_its_destination() -> None:
    (found,) = wire.instances([consul_answers.instance()], "db", endpoint=HERE)
    assert (found.address, found.port) == ("127.0.0.1", 21001)
    assert (found.destination_service, found.datacenter, found.node) == ("db", "dc1", "node1")
    assert (found.weight, found.passing) == (3, True)


def test_an_instances_own_address_wins_over_the_nodes() -> None:
    (found,) = wire.instances([consul_answers.instance(address="10.0.0.9")], "db", endpoint=HERE)
    assert found.address == "10.0.0.9"


def test_a_native_instance_stands_for_itself() -> None:
    (found,) = wire.instances([consul_answers.instance(native=True)], "db", endpoint=HERE)
    assert found.destination_service == "db"


def test_a_gateway_stands_for_the_service_asked_for() -> None:
    entry = consul_answers.instance()
    entry["Service"] |= {"Kind": "terminating-gateway", "Service": "gateway", "Proxy": None}
    (found,) = wire.instances([entry], "db", endpoint=HERE)
    assert found.destination_service == "db"


@pytest.mark.parametrize(
    ("status", "weight", "passing"), [("passing", 3, True), ("warning", 2, True), ("critical", 3, False)]
)
def test_checks_decide_weight_and_health(status: str, weight: int, passing: bool) -> None:
    (found,) = wire.instances([consul_answers.instance(status=status)], "db", endpoint=HERE)
    assert (found.weight, found.passing) == (weight, passing)


def test_without_weights_and_checks_an_instance_counts_once_and_passes() -> None:
    entry = consul_answers.instance() | {"Checks": None}
    entry["Service"]["Weights"] = None
    (found,) = wire.instances([entry], "db", endpoint=HERE)
    assert (found.weight, found.passing) == (1, True)


def test_instances_come_in_a_stable_order_and_a_querys_in_consuls() -> None:
    entries = [consul_answers.instance(port=21002), consul_answers.instance(port=21001)]
    assert [one.port for one in wire.instances(entries, "db", endpoint=HERE)] == [21001, 21002]
    result = {"Service": "db", "Nodes": entries}
    assert [one.port for one in wire.query_result(result, endpoint=HERE)] == [21002, 21001]


@pytest.mark.parametrize(
    "body", ["x", 1, True, {"Node": 3}, [3], {"Roots": {}}, {"Nodes": "x"}, {"Proxy": []}, [{"Node": []}]]
)
def test_wrong_shapes_are_refused_with_the_endpoint(body: Any) -> None:
    body = json.loads(json.dumps(body))
    readers: list[Callable[[], object]] = [
        lambda: wire.registration(body, endpoint=HERE),
        lambda: wire.registrations(body, endpoint=HERE),
        lambda: wire.roots(body, endpoint=HERE),
        lambda: wire.leaf(body, endpoint=HERE),
        lambda: wire.intentions(body, endpoint=HERE),
        lambda: wire.instances(body, "db", endpoint=HERE),
        lambda: wire.query_result(body, endpoint=HERE),
    ]
    refusals = [message for read in readers if (message := refusal_of(read))]
    assert len(refusals) >= 2
    assert all(HERE in message for message in refusals)


def test_the_leader_is_a_bare_text() -> None:
    assert wire.text("127.0.0.1:8300", endpoint=HERE) == "127.0.0.1:8300"
    with pytest.raises(AgentAnswerError, match="an object, not a text"):
        wire.text({}, endpoint=HERE)
