import socket

import pytest

from connect_proxy.dev_agent.definition import SERVICE_DEFINITION, ServiceDefinition, service_definition
from connect_proxy.dev_agent.sidecar import PortRange, Sidecar, derive_sidecar, host_port, port_is_free
from connect_proxy.errors import ApiError
from support.ports import free_port


def definition(sidecar: dict[str, object]) -> ServiceDefinition:
    body = {
        "ID": "web-1",
        "Name": "web",
        "Port": 8080,
        "Address": "10.0.0.1",
        "Tags": ["v1"],
        "Meta": {"a": "b"},
        "Token": "parent-token",
        "Connect": {"SidecarService": sidecar},
    }
    return service_definition(SERVICE_DEFINITION(body, ""))


def derived(sidecar: dict[str, object], *, port: int = 21000) -> Sidecar:
    given = definition(sidecar)
    assert given.sidecar is not None
    return derive_sidecar(given.sidecar, parent=given.service, allocate=lambda sidecar_id: port)


def test_an_empty_sidecar_takes_everything_from_its_service() -> None:
    service = derived({}).service
    assert (service.id, service.name, service.kind) == (
        "web-1-sidecar-proxy",
        "web-sidecar-proxy",
        "connect-proxy",
    )
    assert (service.tags, dict(service.meta)) == (("v1",), {"a": "b"})
    assert (service.address, service.port) == ("10.0.0.1", 21000)
    assert (service.proxy.destination_service_name, service.proxy.destination_service_id) == (
        "web",
        "web-1",
    )
    assert (service.proxy.local_service_address, service.proxy.local_service_port) == ("127.0.0.1", 8080)
    assert service.token.reveal() == "parent-token"
    assert service.is_sidecar_of == "web-1"


def test_what_the_sidecar_says_itself_counts() -> None:
    service = derived(
        {
            "Name": "q",
            "Port": 9,
            "Address": "10.0.0.2",
            "Tags": ["z"],
            "Meta": {"c": "d"},
            "Token": "own",
            "Proxy": {"DestinationServiceName": "other", "LocalServiceAddress": "127.0.0.5"},
        }
    ).service
    assert (service.name, service.port, service.address) == ("q", 9, "10.0.0.2")
    assert (service.tags, dict(service.meta), service.token.reveal()) == (("z",), {"c": "d"}, "own")
    assert service.proxy.destination_service_name == "other"
    assert service.proxy.destination_service_id == "web-1"
    assert service.proxy.local_service_address == "127.0.0.5"


def test_the_default_checks_probe_the_listener_and_follow_the_service() -> None:
    listening, aliasing = derived({"Proxy": {"LocalServiceAddress": "::1"}}).checks
    assert (listening.name, listening.tcp, listening.interval) == (
        "Connect Sidecar Listening",
        "[::1]:21000",
        10,
    )
    assert (aliasing.name, aliasing.alias_service) == ("Connect Sidecar Aliasing web-1", "web-1")


def test_a_sidecar_with_checks_of_its_own_gets_no_others() -> None:
    (check,) = derived({"Check": {"TTL": "5s"}}).checks
    assert check.ttl == 5


def test_the_lowest_port_that_nobody_has_is_handed_out() -> None:
    ports = PortRange(first=21000, last=21003)
    assert ports.allocate([21000, 21002], is_free=lambda port: True) == 21001


def test_a_port_that_another_process_has_is_passed_over() -> None:
    ports = PortRange(first=21000, last=21003)
    assert ports.allocate([21000], is_free=lambda port: port > 21001) == 21002


def test_without_a_port_left_the_range_is_named() -> None:
    with pytest.raises(ApiError, match=r"none left in the configured range \[21000, 21001\]"):
        PortRange(first=21000, last=21001).allocate([21000, 21001], is_free=lambda port: True)


def test_a_range_of_zero_switches_the_allocation_off() -> None:
    with pytest.raises(ApiError, match="auto-assignment disabled"):
        PortRange(first=0, last=0).allocate([], is_free=lambda port: True)


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1"), ("localhost", "localhost:1")]
)
def test_an_address_is_shown_with_brackets_where_it_needs_them(host: str, shown: str) -> None:
    assert host_port(host, 1) == shown
