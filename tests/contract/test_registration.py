"""``PUT /v1/agent/service/register`` and ``/deregister``: what is taken, what is refused and how."""

from __future__ import annotations

from typing import Any

import pytest

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract


def _proxy(*upstreams: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A good proxy registration with the given upstreams and changes."""
    proxy = {"DestinationServiceName": "web", "Upstreams": list(upstreams)}
    return {"Name": "web-proxy", "Kind": "connect-proxy", "Port": 20000, "Proxy": proxy} | changes


def _upstream(**changes: Any) -> dict[str, Any]:
    return {"DestinationName": "db", "LocalBindPort": 9191} | changes


REFUSED = {
    "no name": ({"Port": 1}, "Missing service name"),
    "nothing": ({}, "Missing service name"),
    "truncated JSON": (b"{", "Request decode failed"),
    "a list": ([], "Request decode failed"),
    "unknown field": ({"Name": "web", "Nope": 1}, 'unknown field "Nope"'),
    "proxy without destination": (_proxy(Proxy={}), "Proxy.DestinationServiceName must be non-empty"),
    "proxy without port": (_proxy(Port=0), "Port must be set for a Connect proxy"),
    "native proxy": (_proxy(Connect={"Native": True}), "A Proxy cannot also be Connect Native"),
    "upstream without port": (
        _proxy(_upstream(LocalBindPort=0)),
        "upstream local bind port cannot be zero",
    ),
    "upstream without name": (
        _proxy(_upstream(DestinationName="")),
        "upstream destination name cannot be empty",
    ),
    "upstream of unknown type": (
        _proxy(_upstream(DestinationType="tubes")),
        'unknown upstream destination type: "tubes"',
    ),
    "same upstream twice": (
        _proxy(_upstream(), _upstream(LocalBindPort=9192)),
        "upstreams cannot contain duplicates of",
    ),
    "same local port twice": (
        _proxy(_upstream(), _upstream(DestinationName="cache", LocalBindAddress="127.0.0.1")),
        '"127.0.0.1:9191" is specified twice',
    ),
    "any IPv4 address": ({"Name": "web", "Address": "0.0.0.0"}, "Invalid service address"),
    "any IPv6 address": ({"Name": "web", "Address": "::"}, "Invalid service address"),
    "sidecar with an id": (
        {"Name": "web", "Port": 1, "Connect": {"SidecarService": {"ID": "mine"}}},
        "A SidecarService cannot specify an ID",
    ),
    "sidecar in a sidecar": (
        {"Name": "web", "Port": 1, "Connect": {"SidecarService": {"Connect": {"SidecarService": {}}}}},
        "A SidecarService cannot have a nested SidecarService",
    ),
    "check without interval": (
        {"Name": "web", "Port": 1, "Check": {"HTTP": "http://127.0.0.1:1"}},
        "Interval must be > 0",
    ),
    "unusable meta key": ({"Name": "web", "Meta": {"a b": "c"}}, "Key contains invalid characters"),
    "negative weight": ({"Name": "web", "Weights": {"Passing": -1}}, "Passing must be greater than 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_registration_is_refused_and_leaves_nothing(agent: AgentUnderTest, case: str) -> None:
    body, words = REFUSED[case]
    answer = agent.api.put("/v1/agent/service/register", body)
    assert (answer.status, words in answer.text) == (400, True), f"{answer.status}: {answer.text}"
    assert agent.api.get("/v1/agent/services").json == {}


def test_the_id_defaults_to_the_name(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    services = agent.api.get("/v1/agent/services").json
    assert set(services) == {"web"}
    assert services["web"] == {
        "ID": "web",
        "Service": "web",
        "Tags": [],
        "Meta": {},
        "Port": 8080,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
    }


def test_a_proxy_is_shown_with_its_defaults_filled_in(agent: AgentUnderTest) -> None:
    agent.api.register(_proxy(_upstream()))
    shown = agent.api.get("/v1/agent/services").json["web-proxy"]
    assert shown["Kind"] == "connect-proxy"
    assert shown["Proxy"]["DestinationServiceName"] == "web"
    (upstream,) = shown["Proxy"]["Upstreams"]
    assert upstream["DestinationType"] == "service"
    assert (upstream["DestinationName"], upstream["LocalBindPort"]) == ("db", 9191)


def test_snake_case_keys_are_taken_outside_of_free_form_maps(agent: AgentUnderTest) -> None:
    agent.api.register(
        {
            "name": "web-proxy",
            "kind": "connect-proxy",
            "port": 20000,
            "enable_tag_override": True,
            "meta": {"some_key": "kept"},
            "proxy": {
                "destination_service_name": "web",
                "local_service_port": 8080,
                "config": {"local_connect_timeout_ms": 5},
                "upstreams": [{"destination_name": "db", "local_bind_port": 9191}],
            },
        }
    )
    shown = agent.api.get("/v1/agent/service/web-proxy").json
    assert shown["EnableTagOverride"] is True
    assert shown["Meta"] == {"some_key": "kept"}
    assert shown["Proxy"]["Config"] == {"local_connect_timeout_ms": 5}
    assert shown["Proxy"]["LocalServicePort"] == 8080
    assert shown["Proxy"]["Upstreams"][0]["DestinationName"] == "db"


def test_a_proxy_may_stand_for_a_service_that_does_not_exist(agent: AgentUnderTest) -> None:
    agent.api.register(_proxy(Proxy={"DestinationServiceName": "nobody"}))
    assert set(agent.api.get("/v1/agent/services").json) == {"web-proxy"}


def test_registering_an_id_again_replaces_it(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    agent.api.register({"Name": "web", "Port": 8081})
    assert agent.api.get("/v1/agent/services").json["web"]["Port"] == 8081


def test_two_ids_may_share_a_name(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "ID": "web-1", "Port": 8080})
    agent.api.register({"Name": "web", "ID": "web-2", "Port": 8081})
    assert set(agent.api.get("/v1/agent/services").json) == {"web-1", "web-2"}


def test_deregistering_removes_the_service_and_its_checks(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Check": {"TTL": "60s"}})
    agent.api.deregister("web")
    assert agent.api.get("/v1/agent/services").json == {}
    assert agent.api.get("/v1/agent/checks").json == {}


def test_deregistering_an_unknown_id_is_no_error(agent: AgentUnderTest) -> None:
    assert agent.api.put("/v1/agent/service/deregister/nobody").status == 200


def test_an_address_is_also_shown_as_tagged_addresses(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Address": "127.0.0.2"})
    shown = agent.api.get("/v1/agent/services").json["web"]
    assert shown["Address"] == "127.0.0.2"
    assert shown["TaggedAddresses"]["lan_ipv4"] == {"Address": "127.0.0.2", "Port": 8080}
