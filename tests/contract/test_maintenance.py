"""Maintenance mode: a critical check that takes a service or the node out of health queries."""

from __future__ import annotations

import pytest

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    ("path", "check_id", "name"),
    [
        ("/v1/agent/maintenance", "_node_maintenance", "Node Maintenance Mode"),
        ("/v1/agent/service/maintenance/web", "_service_maintenance:web", "Service Maintenance Mode"),
    ],
)
def test_maintenance_is_a_critical_check_while_it_lasts(
    agent: AgentUnderTest, path: str, check_id: str, name: str
) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    assert agent.api.put(path, enable="true", reason="moving house").status == 200
    check = agent.api.get("/v1/agent/checks").json[check_id]
    assert (check["Name"], check["Status"], check["Notes"]) == (name, "critical", "moving house")
    assert check["Type"] == "maintenance"
    assert agent.api.put(path, enable="false").status == 200
    assert check_id not in agent.api.get("/v1/agent/checks").json


@pytest.mark.parametrize(
    ("path", "params", "status", "text"),
    [
        ("/v1/agent/maintenance", {}, 400, "Missing value for enable"),
        ("/v1/agent/maintenance", {"enable": "maybe"}, 400, 'Invalid value for enable: "maybe"'),
        ("/v1/agent/service/maintenance/", {"enable": "true"}, 400, "Missing service ID"),
        (
            "/v1/agent/service/maintenance/nosuch",
            {"enable": "true"},
            404,
            'No service registered with ID "nosuch"',
        ),
    ],
)
def test_a_mistake_is_refused(
    agent: AgentUnderTest, path: str, params: dict[str, str], status: int, text: str
) -> None:
    answer = agent.api.put(path, **params)
    assert (answer.status, answer.text) == (status, text)
