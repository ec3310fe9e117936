"""What the HTTP API says to requests that it cannot serve."""

from __future__ import annotations

import pytest

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(
    "path", ["/v1/nope", "/v1/agent/nope", "/nope", "/v1/agent/connect/proxy/web-proxy"]
)
def test_an_unknown_path_is_not_found(agent: AgentUnderTest, path: str) -> None:
    assert agent.api.get(path).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/agent/service/register"),
        ("GET", "/v1/agent/service/deregister/web"),
        ("DELETE", "/v1/agent/services"),
        ("PUT", "/v1/connect/intentions"),
        ("POST", "/v1/connect/intentions/11111111-2222-4333-8444-555555555555"),
        ("GET", "/v1/agent/connect/authorize"),
        ("PUT", "/v1/agent/connect/ca/roots"),
        ("GET", "/v1/agent/check/update/x"),
        ("GET", "/v1/agent/check/pass/x"),
        ("POST", "/v1/health/connect/web"),
    ],
)
def test_a_wrong_method_is_not_allowed(agent: AgentUnderTest, method: str, path: str) -> None:
    answer = agent.api.request(method, path)
    assert (answer.status, answer.text.strip()) == (405, f"method {method} not allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/health/connect/web",
        "/v1/health/service/web",
        "/v1/catalog/connect/web",
        "/v1/catalog/service/web",
        "/v1/connect/intentions",
        "/v1/agent/connect/ca/roots",
        "/v1/agent/connect/ca/leaf/web",
    ],
)
def test_index_and_wait_are_checked(agent: AgentUnderTest, path: str) -> None:
    for value in ("tubes", "-1"):
        answer = agent.api.get(path, index=value)
        assert (answer.status, answer.text.strip()) == (400, "Invalid index"), value
    answer = agent.api.get(path, index=1, wait="tubes")
    assert (answer.status, answer.text.strip()) == (400, "Invalid wait time")


def test_errors_are_plain_text(agent: AgentUnderTest) -> None:
    answer = agent.api.put("/v1/agent/service/register", {})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_token_in_any_place_does_no_harm_without_acls(agent: AgentUnderTest) -> None:
    unknown = "99999999-2222-4333-8444-555555555555"
    for headers in ({"X-Consul-Token": unknown}, {"Authorization": f"Bearer {unknown}"}):
        assert agent.api.request("GET", "/v1/agent/services", headers=headers).status == 200
    assert agent.api.get("/v1/agent/services", token=unknown).status == 200


def test_pretty_answers_are_the_same_json(agent: AgentUnderTest) -> None:
    assert agent.api.get("/v1/agent/services", pretty="").json == {}
