"""Blocking queries by index: wake on change, else wait out and say the same again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.consul_api import ApiAnswer
from support.processes import wait_until

pytestmark = pytest.mark.contract

CHECK = {"TTL": "60s", "Status": "passing"}


def _register(agent: AgentUnderTest) -> None:
    agent.api.register(
        {"Name": "web", "Port": 8080, "Check": CHECK, "Connect": {"SidecarService": {"Check": CHECK}}}
    )


@dataclass(frozen=True, kw_only=True)
class Watched:
    path: str
    change: Callable[[AgentUnderTest], object]


def _allow(agent: AgentUnderTest) -> None:
    agent.api.set_intention("web", "db", "allow")


WATCHED = {
    watched.path: watched
    for watched in (
        Watched(path="/v1/health/connect/web", change=_register),
        Watched(path="/v1/health/service/web", change=_register),
        Watched(path="/v1/health/checks/web", change=_register),
        Watched(path="/v1/catalog/connect/web", change=_register),
        Watched(path="/v1/catalog/service/web", change=_register),
        Watched(path="/v1/catalog/services", change=_register),
        Watched(path="/v1/connect/intentions", change=_allow),
    )
}


@pytest.fixture(params=sorted(WATCHED))
def watched(request: pytest.FixtureRequest) -> Watched:
    return WATCHED[request.param]


def _index(agent: AgentUnderTest, path: str) -> int:
    """The current index, once nothing moves any more: a real agent syncs what it was told later."""
    wait_for_catalog(agent.api)

    def settled() -> int:
        first = agent.api.get(path).index
        again = agent.api.get(path, index=first, wait="100ms").index
        return first if first == again else 0

    return wait_until(settled, f"{path} stands still")


def test_a_change_wakes_a_waiting_query(agent: AgentUnderTest, watched: Watched) -> None:
    before = agent.api.get(watched.path)
    index = _index(agent, watched.path)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(agent.api.get, watched.path, index=index, wait="20s")
        watched.change(agent)
        woken = blocked.result()
    assert woken.index > index
    wait_until(lambda: agent.api.get(watched.path).json != before.json, "the change is seen")


def test_a_wait_below_zero_is_none_at_all(agent: AgentUnderTest) -> None:
    path = "/v1/catalog/services"
    index = _index(agent, path)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(agent.api.get, path, index=index, wait="-1s")
        _register(agent)
        assert blocked.result().index > index


def test_without_a_change_the_same_comes_again_after_the_wait(
    agent: AgentUnderTest, watched: Watched
) -> None:
    watched.change(agent)
    index = _index(agent, watched.path)
    answer = agent.api.get(watched.path, index=index, wait="100ms")
    assert answer.index == index


def test_an_index_from_the_future_waits_out_and_gives_the_real_one(
    agent: AgentUnderTest, watched: Watched
) -> None:
    index = _index(agent, watched.path)
    answer = agent.api.get(watched.path, index=index + 1_000_000, wait="100ms")
    assert (answer.status, answer.index) == (200, index)


@pytest.mark.parametrize("index", [0, 1])
def test_an_old_index_is_answered_at_once(agent: AgentUnderTest, index: int) -> None:
    _register(agent)
    wait_for_catalog(agent.api)
    # Were it to wait, the client's own time-out would end the test.
    assert agent.api.get("/v1/health/connect/web", index=index, wait="10m").json


def test_a_failing_check_wakes_who_asks_for_passing_instances(agent: AgentUnderTest) -> None:
    _register(agent)
    path = "/v1/health/connect/web"
    wait_until(lambda: agent.api.get(path, passing="").json, "the sidecar passes")
    index = _index(agent, path)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(agent.api.get, path, index=index, wait="20s", passing="")
        agent.api.put("/v1/agent/check/fail/service:web-sidecar-proxy")
        assert blocked.result().json == []


def test_deregistering_wakes_who_waits(agent: AgentUnderTest) -> None:
    _register(agent)
    path = "/v1/health/connect/web"
    wait_until(lambda: agent.api.get(path).json, "the sidecar is in the catalog")
    index = _index(agent, path)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(agent.api.get, path, index=index, wait="20s")
        agent.api.deregister("web")
        woken = blocked.result()
    assert woken.index > index
    wait_until(lambda: agent.api.get(path).json == [], "it is gone")


def test_many_wait_and_all_are_woken(agent: AgentUnderTest) -> None:
    path = "/v1/health/connect/web"
    index = _index(agent, path)

    def wait(_: int) -> ApiAnswer:
        return agent.api.get(path, index=index, wait="20s")

    with ThreadPoolExecutor(20) as pool:
        blocked = [pool.submit(wait, number) for number in range(20)]
        _register(agent)
        assert all(each.result().index > index for each in blocked)


def test_indexes_are_never_zero(agent: AgentUnderTest) -> None:
    for path in WATCHED:
        assert agent.api.get(path).index >= 1, path
