"""``GET /v1/catalog/node-services/:node``: a node's services, as proxies without an agent are found."""

from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.consul import wire
from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.consul_api import ApiAnswer

pytestmark = pytest.mark.contract

SIDECAR: dict[str, Any] = {
    "Name": "web",
    "Port": 8080,
    "Connect": {
        "SidecarService": {
            "Proxy": {
                "Config": {"protocol": "http"},
                "Upstreams": [
                    {"DestinationName": "db", "LocalBindPort": 9191, "Config": {"connect_timeout_ms": 10}},
                ],
            }
        }
    },
}
PROXY_ID = "web-sidecar-proxy"


def _node_of(agent: AgentUnderTest) -> str:
    return str(agent.api.get("/v1/agent/self").json["Config"]["NodeName"])


def _ask(agent: AgentUnderTest, **query: Any) -> ApiAnswer:
    return agent.api.get(f"/v1/catalog/node-services/{_node_of(agent)}", **query)


def _registered(agent: AgentUnderTest) -> None:
    agent.api.register(SIDECAR)
    wait_for_catalog(agent.api)


def _ids(answer: ApiAnswer) -> set[str]:
    return {service["ID"] for service in answer.json["Services"]}


def test_the_node_and_the_list_of_its_services_are_shown(agent: AgentUnderTest) -> None:
    _registered(agent)
    answer = _ask(agent)
    assert answer.json["Node"]["Node"] == _node_of(agent)
    assert answer.json["Node"]["Datacenter"] == "dc1"
    assert "x-consul-index" in answer.headers


@pytest.mark.parametrize("quote", ['"', "`"])
def test_one_service_is_chosen_by_its_id(agent: AgentUnderTest, quote: str) -> None:
    _registered(agent)
    chosen = _ask(agent, filter=f"ID == {quote}{PROXY_ID}{quote}", **{"merge-central-config": ""})
    assert _ids(chosen) == {PROXY_ID}
    assert _ids(_ask(agent, filter=f"ID == {quote}nobody{quote}")) == set()


def test_the_catalog_tells_of_a_proxy_what_its_agent_tells(agent: AgentUnderTest) -> None:
    _registered(agent)
    local = wire.registration(agent.api.get(f"/v1/agent/service/{PROXY_ID}").json, endpoint="")
    found = wire.node_services(_ask(agent, filter=f'ID == "{PROXY_ID}"').json, endpoint="")
    assert found is not None
    (seen,) = found
    for name in (
        "id",
        "name",
        "kind",
        "port",
        "destination_service_name",
        "local_service_port",
        "config",
        "upstreams",
    ):
        assert getattr(seen, name) == getattr(local, name), name
    assert seen.datacenter == "dc1"


def test_of_an_unknown_node_nothing_is_shown(agent: AgentUnderTest) -> None:
    answer = agent.api.get("/v1/catalog/node-services/nowhere")
    assert (answer.status, answer.json) == (200, {"Node": None, "Services": None})
