"""Health checks: TTL, TCP, HTTP, alias; what they do to health queries."""

from __future__ import annotations

from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.applications import echo_server, http_server
from support.ports import free_port
from support.processes import wait_until

pytestmark = pytest.mark.contract


def _status(agent: AgentUnderTest, check_id: str) -> str:
    return str(agent.api.get("/v1/agent/checks").json[check_id]["Status"])


def _passing(agent: AgentUnderTest, service: str) -> set[str]:
    answer = agent.api.get(f"/v1/health/service/{service}", passing="true").json
    return {entry["Service"]["ID"] for entry in answer}


def test_a_ttl_check_starts_critical(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Check": {"TTL": "60s"}})
    check = agent.api.get("/v1/agent/checks").json["service:web"]
    assert (check["Name"], check["Type"]) == ("Service 'web' check", "ttl")
    assert (check["Status"], check["ServiceID"], check["ServiceName"]) == ("critical", "web", "web")


def test_several_checks_are_numbered_and_keep_own_ids(agent: AgentUnderTest) -> None:
    checks = [
        {"TTL": "60s", "CheckID": "mine", "Name": "named", "Notes": "why", "Status": "passing"},
        {"TTL": "60s"},
    ]
    agent.api.register({"Name": "web", "Port": 8080, "Checks": checks})
    shown = agent.api.get("/v1/agent/checks").json
    assert set(shown) == {"mine", "service:web:2"}
    assert (shown["mine"]["Name"], shown["mine"]["Notes"]) == ("named", "why")
    assert shown["mine"]["Status"] == "passing"


@pytest.mark.parametrize(
    ("verb", "status"), [("pass", "passing"), ("warn", "warning"), ("fail", "critical")]
)
def test_a_ttl_check_is_set_by_verb(agent: AgentUnderTest, verb: str, status: str) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Check": {"TTL": "60s"}})
    assert agent.api.put(f"/v1/agent/check/{verb}/service:web", note="because").status == 200
    shown = agent.api.get("/v1/agent/checks").json["service:web"]
    assert (shown["Status"], shown["Output"]) == (status, "because")


def test_a_ttl_check_is_set_by_update(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080, "Check": {"TTL": "60s"}})
    body = {"Status": "passing", "Output": "fine"}
    assert agent.api.put("/v1/agent/check/update/service:web", body).status == 200
    shown = agent.api.get("/v1/agent/checks").json["service:web"]
    assert (shown["Status"], shown["Output"]) == ("passing", "fine")
    wrong = agent.api.put("/v1/agent/check/update/service:web", {"Status": "tubes"})
    assert (wrong.status, "Invalid check status: 'tubes'" in wrong.text) == (400, True)


def test_only_a_ttl_check_can_be_set(agent: AgentUnderTest) -> None:
    check = {"TCP": "127.0.0.1:1", "Interval": "60s"}
    agent.api.register({"Name": "web", "Port": 8080, "Check": check})
    for check_id in ("service:web", "nobody"):
        answer = agent.api.put(f"/v1/agent/check/pass/{check_id}")
        assert (answer.status, "does not have associated TTL" in answer.text) == (500, True)


def test_a_ttl_check_that_is_not_renewed_becomes_critical(agent: AgentUnderTest) -> None:
    check = {"TTL": "300ms", "Status": "passing"}
    agent.api.register({"Name": "web", "Port": 8080, "Check": check})
    wait_until(lambda: _status(agent, "service:web") == "critical", "the check expires")
    assert "TTL expired" in agent.api.get("/v1/agent/checks").json["service:web"]["Output"]


def test_a_tcp_check_follows_what_listens(agent: AgentUnderTest) -> None:
    with echo_server() as application:
        check = {"TCP": f"127.0.0.1:{application.port}", "Interval": "200ms"}
        agent.api.register({"Name": "web", "Port": application.port, "Check": check})
        wait_until(lambda: _status(agent, "service:web") == "passing", "the application is seen")
    wait_until(lambda: _status(agent, "service:web") == "critical", "its end is seen")


def test_an_http_check_follows_the_answers(agent: AgentUnderTest) -> None:
    with http_server(b"hello") as port:
        check = {"HTTP": f"http://127.0.0.1:{port}/health", "Interval": "200ms"}
        agent.api.register({"Name": "web", "Port": port, "Check": check})
        wait_until(lambda: _status(agent, "service:web") == "passing", "the application is seen")
        assert "200" in agent.api.get("/v1/agent/checks").json["service:web"]["Output"]
    wait_until(lambda: _status(agent, "service:web") == "critical", "its end is seen")


def test_checks_decide_who_is_passing(agent: AgentUnderTest) -> None:
    for number in (1, 2):
        check = {"TTL": "60s", "Status": "passing"}
        agent.api.register({"Name": "web", "ID": f"web-{number}", "Port": 8080, "Check": check})
    wait_until(lambda: _passing(agent, "web") == {"web-1", "web-2"}, "both instances pass")
    agent.api.put("/v1/agent/check/fail/service:web-1")
    wait_until(lambda: _passing(agent, "web") == {"web-2"}, "the failing one is left out")
    agent.api.put("/v1/agent/check/warn/service:web-2")
    wait_until(lambda: not _passing(agent, "web"), "a warning is not passing either")


def test_a_check_is_added_and_removed_by_itself(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    added: dict[str, Any] = {"Name": "extra", "TTL": "60s", "ServiceID": "web"}
    assert agent.api.put("/v1/agent/check/register", added).status == 200
    assert agent.api.get("/v1/agent/checks").json["extra"]["ServiceID"] == "web"
    assert agent.api.put("/v1/agent/check/deregister/extra").status == 200
    assert agent.api.get("/v1/agent/checks").json == {}


def test_a_check_for_an_unknown_service_is_refused(agent: AgentUnderTest) -> None:
    body = {"Name": "extra", "TTL": "60s", "ServiceID": "nobody"}
    answer = agent.api.put("/v1/agent/check/register", body)
    assert (answer.status, 'ServiceID "nobody" does not exist' in answer.text) == (500, True)


def test_the_sidecars_listening_check_passes_once_it_listens(agent: AgentUnderTest) -> None:
    """Ten seconds apart by default; here with an interval of its own."""
    port = free_port()
    check = {"TCP": f"127.0.0.1:{port}", "Interval": "200ms"}
    sidecar = {"Port": port, "Check": check}
    agent.api.register({"Name": "web", "Port": 8080, "Connect": {"SidecarService": sidecar}})
    assert _status(agent, "service:web-sidecar-proxy") == "critical"
    assert agent.api.get("/v1/health/connect/web", passing="").json == []
