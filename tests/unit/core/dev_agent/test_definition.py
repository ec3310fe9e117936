from typing import Any

import pytest

from connect_proxy.dev_agent.decoding import DecodeError, decode_body
from connect_proxy.dev_agent.definition import (
    CHECK,
    SERVICE_DEFINITION,
    ServiceDefinition,
    check_definition,
    service_definition,
)


def defined(body: dict[str, Any]) -> ServiceDefinition:
    return service_definition(SERVICE_DEFINITION(body, ""))


def test_both_spellings_of_keys_say_the_same() -> None:
    camel = {
        "Name": "web",
        "EnableTagOverride": True,
        "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 4}},
        "Connect": {
            "SidecarService": {
                "Proxy": {
                    "LocalServiceAddress": "127.0.0.2",
                    "Upstreams": [{"DestinationName": "db", "LocalBindPort": 5, "Config": {"aB": 1}}],
                }
            }
        },
        "Check": {"DeregisterCriticalServiceAfter": "1m", "TTL": "5s"},
    }
    snake = {
        "name": "web",
        "enable_tag_override": True,
        "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 4}},
        "connect": {
            "sidecar_service": {
                "proxy": {
                    "local_service_address": "127.0.0.2",
                    "upstreams": [{"destination_name": "db", "local_bind_port": 5, "config": {"aB": 1}}],
                }
            }
        },
        "check": {"deregister_critical_service_after": "1m", "ttl": "5s"},
    }
    assert defined(camel) == defined(snake)


def test_the_name_is_the_id_where_none_is_given() -> None:
    assert defined({"Name": "web"}).service.id == "web"
    assert defined({"Name": "web", "ID": "web-1"}).service.id == "web-1"


@pytest.mark.parametrize(
    ("fields", "destination"),
    [
        ({"ProxyDestination": "old"}, "old"),
        ({"ProxyDestination": "old", "Proxy": {"DestinationServiceName": "new"}}, "new"),
    ],
)
def test_the_older_proxy_destination_is_translated(fields: dict[str, Any], destination: str) -> None:
    service = defined({"Name": "p", "Kind": "connect-proxy", **fields}).service
    assert service.proxy.destination_service_name == destination
    assert service.connect_name == destination


def test_check_and_checks_are_all_taken() -> None:
    checks = defined({"Name": "a", "Check": {"TTL": "1s"}, "Checks": [{"TTL": "2s"}]}).checks
    assert [check.ttl for check in checks] == [1, 2]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"TTL": "1s"}, "ttl"),
        ({"TCP": "x"}, "tcp"),
        ({"HTTP": "x"}, "http"),
        ({"GRPC": "x"}, "grpc"),
        ({"AliasService": "x"}, "alias"),
        ({"Args": ["x"]}, "script"),
    ],
)
def test_a_check_is_of_the_type_of_what_it_looks_at(body: dict[str, Any], kind: str) -> None:
    assert check_definition(CHECK(body, "")).type == kind


def test_only_a_native_service_answers_for_itself_in_the_mesh() -> None:
    assert defined({"Name": "a"}).service.connect_name == ""
    assert defined({"Name": "a", "Connect": {"Native": True}}).service.connect_name == "a"


def test_a_token_is_not_shown() -> None:
    assert "s3cret" not in repr(defined({"Name": "a", "Token": "s3cret"}))


def test_sidecars_within_sidecars_have_an_end() -> None:
    depth = 900
    body = b'{"Connect":{"SidecarService":' * depth + b"{}" + b"}}" * depth
    with pytest.raises(DecodeError, match="exceeded max depth"):
        decode_body(body, SERVICE_DEFINITION)
