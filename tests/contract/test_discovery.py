"""Who serves what: ``/v1/health/...`` and ``/v1/catalog/...``."""

from __future__ import annotations

from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.processes import wait_until

pytestmark = pytest.mark.contract

CHECK = {"TTL": "60s", "Status": "passing"}


def _ids(entries: list[dict[str, Any]]) -> set[str]:
    return {entry.get("ServiceID") or entry["Service"]["ID"] for entry in entries}


def _register_web(agent: AgentUnderTest) -> None:
    upstream = {"DestinationName": "db", "LocalBindPort": 9191}
    agent.api.register(
        {
            "Name": "web",
            "Port": 8080,
            "Tags": ["v1"],
            "Meta": {"a": "b"},
            "Connect": {"SidecarService": {"Proxy": {"Upstreams": [upstream]}, "Check": CHECK}},
        }
    )
    wait_for_catalog(agent.api)


def test_health_connect_lists_the_proxies_of_a_service(agent: AgentUnderTest) -> None:
    _register_web(agent)
    (entry,) = agent.api.get("/v1/health/connect/web").json
    node, service, checks = entry["Node"], entry["Service"], entry["Checks"]
    assert (node["Node"], node["Address"], node["Datacenter"]) == ("node1", "127.0.0.1", "dc1")
    assert (service["Kind"], service["ID"]) == ("connect-proxy", "web-sidecar-proxy")
    assert service["Port"] == agent.sidecar_ports.first
    assert service["Proxy"]["DestinationServiceName"] == "web"
    assert service["Proxy"]["DestinationServiceID"] == "web"
    assert (service["Tags"], service["Meta"]) == (["v1"], {"a": "b"})
    states = {check["CheckID"]: check["Status"] for check in checks}
    assert states == {"serfHealth": "passing", "service:web-sidecar-proxy": "passing"}


def test_health_connect_lists_native_services_too(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Connect": {"Native": True}})
    wait_for_catalog(agent.api)
    (entry,) = agent.api.get("/v1/health/connect/web").json
    assert (entry["Service"]["ID"], entry["Service"]["Connect"]) == ("web", {"Native": True})


def test_a_service_without_a_proxy_has_no_connect_instances(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    wait_for_catalog(agent.api)
    assert agent.api.get("/v1/health/connect/web").json == []
    assert agent.api.get("/v1/catalog/connect/web").json == []


def test_an_unknown_service_is_an_empty_list(agent: AgentUnderTest) -> None:
    for path in ("health/service", "health/connect", "catalog/service", "catalog/connect"):
        answer = agent.api.get(f"/v1/{path}/nobody")
        assert (answer.status, answer.json) == (200, []), path
        assert answer.index >= 1


@pytest.mark.parametrize("passing", ["", "true", "1"])
def test_passing_leaves_out_what_does_not_pass(agent: AgentUnderTest, passing: str) -> None:
    _register_web(agent)
    assert _ids(agent.api.get("/v1/health/connect/web", passing=passing).json) == {"web-sidecar-proxy"}
    agent.api.put("/v1/agent/check/warn/service:web-sidecar-proxy")
    wait_until(
        lambda: agent.api.get("/v1/health/connect/web", passing=passing).json == [],
        "the warning is seen",
    )
    assert _ids(agent.api.get("/v1/health/connect/web").json) == {"web-sidecar-proxy"}


def test_passing_false_leaves_out_nothing(agent: AgentUnderTest) -> None:
    _register_web(agent)
    agent.api.put("/v1/agent/check/fail/service:web-sidecar-proxy")
    answer = agent.api.get("/v1/health/connect/web", passing="false").json
    assert _ids(answer) == {"web-sidecar-proxy"}


def test_passing_has_to_be_a_boolean(agent: AgentUnderTest) -> None:
    answer = agent.api.get("/v1/health/connect/web", passing="tubes")
    assert (answer.status, answer.text.strip()) == (400, "Invalid value for ?passing")


@pytest.mark.parametrize("path", ["health/connect", "health/service", "catalog/connect", "catalog/service"])
def test_a_name_is_needed(agent: AgentUnderTest, path: str) -> None:
    answer = agent.api.get(f"/v1/{path}/")
    assert (answer.status, answer.text.strip()) == (400, "Missing service name")


def test_the_own_datacenter_may_be_named(agent: AgentUnderTest) -> None:
    _register_web(agent)
    assert _ids(agent.api.get("/v1/health/connect/web", dc="dc1").json) == {"web-sidecar-proxy"}


def test_an_unknown_datacenter_is_an_error(agent: AgentUnderTest) -> None:
    answer = agent.api.get("/v1/health/connect/web", dc="dc9")
    assert (answer.status, answer.text.strip()) == (500, "No path to datacenter")


def test_tags_select_instances(agent: AgentUnderTest) -> None:
    _register_web(agent)
    for path in ("health/service/web", "catalog/service/web"):
        assert _ids(agent.api.get(f"/v1/{path}", tag="v1").json) == {"web"}
        assert agent.api.get(f"/v1/{path}", tag="v2").json == []


def test_catalog_service_shows_kind_proxy_and_address(agent: AgentUnderTest) -> None:
    _register_web(agent)
    (sidecar,) = agent.api.get("/v1/catalog/service/web-sidecar-proxy").json
    assert (sidecar["Node"], sidecar["Address"], sidecar["Datacenter"]) == ("node1", "127.0.0.1", "dc1")
    assert (sidecar["ServiceKind"], sidecar["ServiceID"]) == ("connect-proxy", "web-sidecar-proxy")
    assert (sidecar["ServiceAddress"], sidecar["ServicePort"]) == ("", agent.sidecar_ports.first)
    assert sidecar["ServiceProxy"]["DestinationServiceName"] == "web"
    (upstream,) = sidecar["ServiceProxy"]["Upstreams"]
    assert (upstream["DestinationName"], upstream["LocalBindPort"]) == ("db", 9191)
    assert agent.api.get("/v1/catalog/connect/web").json == [sidecar]


def test_catalog_services_lists_names_with_tags(agent: AgentUnderTest) -> None:
    _register_web(agent)
    names = agent.api.get("/v1/catalog/services").json
    assert names["web"] == ["v1"]
    assert names["web-sidecar-proxy"] == ["v1"]
    assert names["consul"] == []


def test_the_node_and_the_datacenter_are_in_the_catalog(agent: AgentUnderTest) -> None:
    (node,) = agent.api.get("/v1/catalog/nodes").json
    assert (node["Node"], node["Address"], node["Datacenter"]) == ("node1", "127.0.0.1", "dc1")
    assert agent.api.get("/v1/catalog/datacenters").json == ["dc1"]


def test_health_checks_lists_the_checks_of_a_service(agent: AgentUnderTest) -> None:
    _register_web(agent)
    (check,) = agent.api.get("/v1/health/checks/web-sidecar-proxy").json
    assert (check["CheckID"], check["Status"]) == ("service:web-sidecar-proxy", "passing")


def test_consistency_headers_are_sent(agent: AgentUnderTest) -> None:
    headers = agent.api.get("/v1/health/connect/web").headers
    assert headers["x-consul-knownleader"] == "true"
    assert headers["x-consul-lastcontact"] == "0"


def test_stale_and_consistent_reads_are_taken(agent: AgentUnderTest) -> None:
    for mode in ("stale", "consistent"):
        assert agent.api.get("/v1/health/connect/web", **{mode: ""}).status == 200


def test_tags_do_not_select_among_proxies(agent: AgentUnderTest) -> None:
    """As Consul 1.8.7 has it: ``tag`` is not looked at in a search for Connect instances."""
    _register_web(agent)
    for path in ("health/connect/web", "catalog/connect/web"):
        assert _ids(agent.api.get(f"/v1/{path}", tag="v2").json) == {"web-sidecar-proxy"}, path


@pytest.mark.parametrize("path", ["health/connect/web", "health/service/web", "catalog/service/web"])
def test_node_meta_selects_instances(agent: AgentUnderTest, path: str) -> None:
    _register_web(agent)
    own = {"node-meta": "consul-network-segment:"}
    assert agent.api.get(f"/v1/{path}", **own).json
    assert agent.api.get(f"/v1/{path}", **{"node-meta": "rack:r1"}).json == []


def test_a_filter_selects_instances(agent: AgentUnderTest) -> None:
    _register_web(agent)
    path = "/v1/health/connect/web"
    assert _ids(agent.api.get(path, filter='Service.ID == "web-sidecar-proxy"').json) == {
        "web-sidecar-proxy"
    }
    assert agent.api.get(path, filter='Service.ID == "other"').json == []
    assert agent.api.get(path, filter="==").status == 500


def test_an_alias_check_carries_the_parents_warning(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Check": CHECK, "Connect": {"SidecarService": {}}})
    agent.api.put("/v1/agent/check/warn/service:web")
    alias = "service:web-sidecar-proxy:2"
    wait_until(
        lambda: agent.api.get("/v1/agent/checks").json[alias]["Status"] == "warning",
        "the alias warns too",
    )
