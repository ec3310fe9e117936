"""``GET /v1/agent/service/:id``: one registration, blocking by the hash of its content."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.consul_api import ApiAnswer

pytestmark = pytest.mark.contract

PROXY: dict[str, Any] = {
    "Name": "web-proxy",
    "Kind": "connect-proxy",
    "Port": 20000,
    "Proxy": {"DestinationServiceName": "web"},
}


def _ask(agent: AgentUnderTest, **query: Any) -> ApiAnswer:
    return agent.api.get("/v1/agent/service/web-proxy", **query)


def _while_blocked(agent: AgentUnderTest, change: Callable[[], None]) -> ApiAnswer:
    """The answer to a hash-blocking query during which *change* happens."""
    current = _ask(agent).json["ContentHash"]
    with ThreadPoolExecutor(1) as pool:
        blocked: Future[ApiAnswer] = pool.submit(_ask, agent, hash=current, wait="20s")
        change()
        return blocked.result()


def test_the_whole_registration_is_shown(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    answer = _ask(agent)
    shown = answer.json
    assert answer.headers["x-consul-contenthash"] == shown["ContentHash"]
    assert re.fullmatch(r"[0-9a-f]{8,16}", shown["ContentHash"])
    assert {name: shown[name] for name in ("Kind", "ID", "Service", "Port", "Address", "Tags", "Meta")} == {
        "Kind": "connect-proxy",
        "ID": "web-proxy",
        "Service": "web-proxy",
        "Port": 20000,
        "Address": "",
        "Tags": [],
        "Meta": {},
    }
    assert shown["Weights"] == {"Passing": 1, "Warning": 1}
    assert shown["EnableTagOverride"] is False
    assert "x-consul-index" not in answer.headers


def test_an_unknown_id_is_not_found(agent: AgentUnderTest) -> None:
    answer = agent.api.get("/v1/agent/service/nobody")
    assert (answer.status, answer.text.strip()) == (404, "unknown service ID: nobody")
    assert answer.headers["content-type"].startswith("text/plain")


def test_the_hash_depends_on_the_content_alone(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    first = _ask(agent).json["ContentHash"]
    agent.api.register(PROXY | {"Tags": ["changed"]})
    assert _ask(agent).json["ContentHash"] != first
    agent.api.register(PROXY)
    assert _ask(agent).json["ContentHash"] == first


def test_an_old_hash_is_answered_at_once(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    # Were it to wait, the client's own time-out would end the test.
    assert _ask(agent, hash="0123456789abcdef", wait="10m").status == 200


def test_the_current_hash_waits_out_and_gives_the_same_again(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    shown = _ask(agent).json
    assert _ask(agent, hash=shown["ContentHash"], wait="200ms").json == shown


def test_a_change_wakes_a_waiting_query(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    answer = _while_blocked(agent, lambda: agent.api.register(PROXY | {"Port": 20001}))
    assert answer.json["Port"] == 20001


def test_removal_wakes_a_waiting_query_with_not_found(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    answer = _while_blocked(agent, lambda: agent.api.deregister("web-proxy"))
    assert answer.status == 404


def test_changing_another_service_is_not_seen(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    current = _ask(agent).json["ContentHash"]
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(_ask, agent, hash=current, wait="500ms")
        agent.api.register({"Name": "other", "Port": 1})
        assert blocked.result().json["ContentHash"] == current


def test_a_wait_that_is_no_duration_is_refused(agent: AgentUnderTest) -> None:
    agent.api.register(PROXY)
    answer = _ask(agent, hash="x", wait="tubes")
    assert (answer.status, answer.text.strip()) == (400, "Invalid wait time")
