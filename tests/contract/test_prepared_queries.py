"""``/v1/query``: named queries, as far as Connect upstreams need them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.consul_api import ApiAnswer
from support.processes import wait_until

pytestmark = pytest.mark.contract

UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(autouse=True)
def _no_queries_left(agent: AgentUnderTest) -> Any:
    yield
    for query in agent.api.get("/v1/query").json or []:
        assert agent.api.delete(f"/v1/query/{query['ID']}").status == 200


def _create(agent: AgentUnderTest, **service: Any) -> str:
    answer = agent.api.post("/v1/query", {"Name": "find-web", "Service": {"Service": "web"} | service})
    assert answer.status == 200, answer.text
    return str(answer.json["ID"])


def _execute(agent: AgentUnderTest, name: str = "find-web", **query: Any) -> ApiAnswer:
    return agent.api.get(f"/v1/query/{name}/execute", **query)


def _ids(answer: ApiAnswer) -> set[str]:
    return {entry["Service"]["ID"] for entry in answer.json["Nodes"]}


def _register_web(agent: AgentUnderTest) -> None:
    check = {"TTL": "60s", "Status": "passing"}
    sidecar = {"Check": check}
    agent.api.register({"Name": "web", "Port": 8080, "Connect": {"SidecarService": sidecar}})
    wait_for_catalog(agent.api)


def test_a_query_is_created_shown_and_deleted(agent: AgentUnderTest) -> None:
    query_id = _create(agent)
    uuid.UUID(query_id)
    (shown,) = agent.api.get(f"/v1/query/{query_id}").json
    assert (shown["ID"], shown["Name"], shown["Service"]["Service"]) == (query_id, "find-web", "web")
    assert [query["ID"] for query in agent.api.get("/v1/query").json] == [query_id]
    assert agent.api.delete(f"/v1/query/{query_id}").status == 200
    assert agent.api.get(f"/v1/query/{query_id}").status == 404


def test_connect_gives_the_proxies(agent: AgentUnderTest) -> None:
    _register_web(agent)
    query_id = _create(agent)
    for name in ("find-web", query_id):
        answer = _execute(agent, name, connect="true")
        assert (answer.json["Service"], answer.json["Datacenter"]) == ("web", "dc1")
        (entry,) = answer.json["Nodes"]
        assert entry["Node"]["Datacenter"] == "dc1"
        assert entry["Service"]["ID"] == "web-sidecar-proxy"
        assert entry["Service"]["Proxy"]["DestinationServiceName"] == "web"
    assert _ids(_execute(agent)) == {"web"}


def test_a_query_may_be_for_connect_by_itself(agent: AgentUnderTest) -> None:
    _register_web(agent)
    _create(agent, Connect=True)
    assert _ids(_execute(agent)) == {"web-sidecar-proxy"}


def test_critical_instances_are_left_out_and_warning_ones_on_request(agent: AgentUnderTest) -> None:
    _register_web(agent)
    query_id = _create(agent)
    agent.api.put("/v1/agent/check/warn/service:web-sidecar-proxy")
    wait_for_catalog(agent.api)
    assert _ids(_execute(agent, connect="true")) == {"web-sidecar-proxy"}
    changed = {"Name": "find-web", "Service": {"Service": "web", "OnlyPassing": True}}
    assert agent.api.put(f"/v1/query/{query_id}", changed).status == 200
    assert _ids(_execute(agent, connect="true")) == set()
    agent.api.put("/v1/agent/check/fail/service:web-sidecar-proxy")
    assert agent.api.put(f"/v1/query/{query_id}", {**changed, "Service": {"Service": "web"}}).status == 200
    wait_until(lambda: not _ids(_execute(agent, connect="true")), "the critical one is left out")


def test_an_answer_without_instances_is_complete(agent: AgentUnderTest) -> None:
    _create(agent)
    answer = _execute(agent, connect="true").json
    assert answer["Nodes"] == []
    assert (answer["Service"], answer["Failovers"]) == ("web", 0)


def test_connect_has_to_be_a_boolean(agent: AgentUnderTest) -> None:
    _create(agent)
    answer = _execute(agent, connect="tubes")
    assert (answer.status, "Error parsing 'connect' value" in answer.text) == (500, True)


def test_an_unknown_query_is_not_found(agent: AgentUnderTest) -> None:
    answer = _execute(agent, "nobody")
    assert (answer.status, answer.text.strip()) == (404, "Query not found")
    assert agent.api.get(f"/v1/query/{UNKNOWN}").status == 404


def test_a_name_is_taken_once(agent: AgentUnderTest) -> None:
    _create(agent)
    answer = agent.api.post("/v1/query", {"Name": "find-web", "Service": {"Service": "api"}})
    assert (answer.status, "aliases an existing query name" in answer.text) == (500, True)


def test_a_service_is_needed(agent: AgentUnderTest) -> None:
    answer = agent.api.post("/v1/query", {"Name": "find-web"})
    assert (answer.status, "Must provide a Service name to query" in answer.text) == (500, True)


def test_tags_select_instances(agent: AgentUnderTest) -> None:
    check = {"TTL": "60s", "Status": "passing"}
    for tag in ("v1", "v2"):
        definition = {"Name": "web", "ID": f"web-{tag}", "Port": 8080, "Tags": [tag], "Check": check}
        agent.api.register(definition)
    wait_for_catalog(agent.api)
    _create(agent, Tags=["v2"])
    assert _ids(_execute(agent)) == {"web-v2"}
