from typing import Any

import pytest

from connect_proxy.dev_agent.definition import SERVICE_DEFINITION, service_definition
from connect_proxy.dev_agent.validation import check_service
from connect_proxy.errors import ApiError


def refusal(body: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        check_service(service_definition(SERVICE_DEFINITION(body, "")))
    return caught.value.status, str(caught.value)


def proxy(*upstreams: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "Name": "web-proxy",
        "Kind": "connect-proxy",
        "Port": 1,
        "Proxy": {"DestinationServiceName": "web", "Upstreams": list(upstreams)},
        **fields,
    }


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "Missing service name"),
        ({"Name": "a", "Address": "0.0.0.0"}, 400, "Invalid service address"),
        ({"Name": "a", "Address": "::"}, 400, "Invalid service address"),
        ({"Name": "a", "Weights": {"Passing": 0}}, 400, "Invalid Weights: Passing must be greater than 0"),
        (
            {"Name": "a", "Weights": {"Passing": 1, "Warning": -1}},
            400,
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        (
            {"Name": "a", "Weights": {"Passing": 70000}},
            400,
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        (
            {"Name": "a", "Meta": {"a b": "c"}},
            400,
            "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): "
            "Key contains invalid characters",
        ),
        (
            {"Name": "a", "Meta": {"": "c"}},
            400,
            "Invalid Service Meta: Couldn't load metadata pair ('', 'c'): Key cannot be blank",
        ),
        (
            {"Name": "a", "Check": {"TCP": "x"}},
            400,
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        ({"Name": "a", "Check": {"Interval": "5s"}}, 400, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            {"Name": "a", "Check": {"TTL": "5s", "Interval": "5s"}},
            400,
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (
            {"Name": "a", "Check": {"TTL": "5s", "Status": "x"}},
            400,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            {"Name": "a", "Connect": {"SidecarService": {"Check": {"TCP": "x"}}}},
            500,
            "Bad request: Invalid check in sidecar_service: "
            "Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            {"Name": "a", "Connect": {"SidecarService": {"Meta": {"": "x"}}}},
            500,
            "Bad request: Invalid SidecarService: Couldn't load metadata pair ('', 'x'): "
            "Key cannot be blank",
        ),
    ],
)
def test_one_mistake_is_refused_in_consuls_words(body: dict[str, Any], status: int, text: str) -> None:
    assert refusal(body) == (status, text)


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        (
            {"Name": "p", "Kind": "connect-proxy"},
            [
                "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
                "Port must be set for a Connect proxy",
            ],
        ),
        (proxy(Connect={"Native": True}), ["A Proxy cannot also be Connect Native, only typical services"]),
        (proxy({"DestinationName": "", "LocalBindPort": 1}), ["upstream destination name cannot be empty"]),
        (proxy({"DestinationName": "a"}), ["upstream local bind port cannot be zero"]),
        (
            proxy({"DestinationName": "a", "DestinationType": "x", "LocalBindPort": 1}),
            ['unknown upstream destination type: "x"'],
        ),
        (
            proxy(
                {"DestinationName": "a", "LocalBindPort": 1}, {"DestinationName": "a", "LocalBindPort": 2}
            ),
            [
                'upstreams cannot contain duplicates of [type="service", name="a", namespace="", '
                'datacenter=""]'
            ],
        ),
        (
            proxy(
                {"DestinationName": "a", "LocalBindPort": 1},
                {"DestinationName": "b", "LocalBindPort": 1, "LocalBindAddress": "127.0.0.1"},
            ),
            [
                'upstreams cannot contain duplicates by local bind address and port; "127.0.0.1:1" is '
                "specified twice"
            ],
        ),
        (
            proxy({"DestinationName": "a", "LocalBindPort": 1, "LocalBindSocketPath": "/a"}),
            ["only one of upstream local bind port or local socket path can be defined and nonzero"],
        ),
        (
            proxy(
                {"DestinationName": "a", "LocalBindSocketPath": "/a"},
                {"DestinationName": "b", "LocalBindSocketPath": "/a"},
            ),
            ['upstreams cannot contain duplicates by local socket path; "/a" is specified twice'],
        ),
        (
            {"Name": "a", "Connect": {"SidecarService": {"ID": "x", "Connect": {"SidecarService": {}}}}},
            [
                "A SidecarService cannot specify an ID as this is managed by the agent",
                "A SidecarService cannot have a nested SidecarService",
            ],
        ),
    ],
)
def test_mistakes_of_proxies_are_listed_together(body: dict[str, Any], complaints: list[str]) -> None:
    head = "1 error occurred:" if len(complaints) == 1 else f"{len(complaints)} errors occurred:"
    assert refusal(body) == (400, f"{head}\n" + "".join(f"\t* {line}\n" for line in complaints) + "\n")


def test_scripts_are_not_run_for_strangers() -> None:
    status, text = refusal({"Name": "a", "Check": {"Args": ["/bin/true"], "Interval": "5s"}})
    assert status == 500
    assert "enable_script_checks" in text


@pytest.mark.parametrize(
    "body",
    [
        {"Name": "a"},
        {"Name": "a", "Port": -1, "Kind": "anything"},
        proxy({"DestinationName": "a", "LocalBindPort": 1}, {"DestinationName": "b", "LocalBindPort": 2}),
        proxy(
            {"DestinationName": "a", "LocalBindPort": 1},
            {"DestinationName": "a", "LocalBindPort": 2, "Datacenter": "dc2"},
            {
                "DestinationName": "a",
                "LocalBindPort": 1,
                "LocalBindAddress": "127.0.0.2",
                "Datacenter": "x",
            },
        ),
        {"Name": "p", "Kind": "connect-proxy", "Port": 1, "ProxyDestination": "web"},
        {"Name": "a", "Check": {"AliasService": "b"}},
    ],
)
def test_what_consul_takes_is_taken(body: dict[str, Any]) -> None:
    check_service(service_definition(SERVICE_DEFINITION(body, "")))
