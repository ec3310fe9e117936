import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.consul.client import Answer, ConsulClient, connect_consul
from connect_proxy.errors import AgentAnswerError
from connect_proxy.mesh.certificates import Leaf
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.registration import PREPARED_QUERY, Registration, Upstream
from connect_proxy.secret import Secret
from connect_proxy.snapshot.query_loop import Query
from connect_proxy.snapshot.settings import WatchSettings
from connect_proxy.snapshot.watches import (
    IndexQuery,
    InstancesQuery,
    LeafQuery,
    PreparedQueryPoll,
    RegistrationQuery,
    leaf_wait_s,
)
from support import consul_answers
from support.eventually import eventually
from support.manual_clock import ManualClock
from support.scripted_agent import Reply, ScriptedAgent

T = TypeVar("T")
SETTINGS = WatchSettings(wait_s=0.05, poll_s=10)
NOON = ManualClock().now()


def talk(use: Callable[[ScriptedAgent, ConsulClient], Awaitable[T]]) -> T:
    async def go() -> T:
        async with ScriptedAgent() as agent:
            client = connect_consul(agent.access())
            try:
                return await use(agent, client)
            finally:
                await client.aclose()

    return asyncio.run(go())


def a_leaf(*, begins: datetime = NOON, life: timedelta = timedelta(hours=72)) -> Leaf:
    return Leaf(
        service="web",
        uri="",
        serial="08",
        certificate_pem="PEM",
        private_key=Secret("KEY"),
        valid_after=begins,
        valid_before=begins + life,
    )


# ---------------------------------------------------------------- by index


def index_query(answers: list[tuple[str, int]]) -> tuple[IndexQuery[str], list[int], list[str]]:
    """A query with these answers, the indexes it blocked on, and what it handed on."""
    blocked_on: list[int] = []
    accepted: list[str] = []

    async def fetch(*, index: int, wait: float) -> Answer[str]:
        blocked_on.append(index)
        value, answered = answers[len(blocked_on) - 1]
        return Answer(value=value, index=answered)

    return (
        IndexQuery("roots", fetch=fetch, accept=accepted.append, settings=SETTINGS),
        blocked_on,
        accepted,
    )


def test_an_index_query_blocks_on_the_last_index_and_starts_over_when_it_goes_back() -> None:
    query, blocked_on, accepted = index_query([("a", 5), ("b", 9), ("c", 3), ("d", 3)])

    async def go() -> None:
        for _ in range(4):
            assert await query.ask() == 0

    asyncio.run(go())
    assert blocked_on == [0, 5, 9, 0]
    assert accepted == ["a", "b", "c", "d"]


def test_after_a_failure_an_index_query_does_not_block() -> None:
    query, blocked_on, _ = index_query([("a", 5), ("b", 5)])

    async def go() -> None:
        await query.ask()
        query.start_over()
        await query.ask()

    asyncio.run(go())
    assert blocked_on == [0, 0]


def test_answers_without_an_index_are_polled() -> None:
    query, blocked_on, _ = index_query([("a", 0), ("b", 0)])

    async def go() -> None:
        assert await query.ask() == SETTINGS.poll_s
        assert await query.ask() == SETTINGS.poll_s

    asyncio.run(go())
    assert blocked_on == [0, 0]


# ---------------------------------------------------------------- registration


def test_a_vanished_registration_is_told_and_looked_for_until_it_is_back() -> None:
    path = "/v1/agent/service/p"
    events: list[str] = []

    async def use(agent: ScriptedAgent, client: ConsulClient) -> list[float]:
        agent.put(path, consul_answers.sidecar(proxy_id="p"), by_hash=True)
        query = RegistrationQuery(
            client,
            Registration(id="p", name="p"),
            clock=ManualClock(randoms=1.0),
            settings=SETTINGS,
            accept=lambda found: events.append(found.id),
            vanished=lambda: events.append("vanished"),
        )
        pauses = [await query.ask()]
        agent.remove(path)
        pauses += [await query.ask() for _ in range(6)]
        agent.put(path, consul_answers.sidecar(proxy_id="p"), by_hash=True)
        return [*pauses, await query.ask()]

    assert talk(use) == [0, 0.2, 0.5, 1, 2, 4, 5, 0]
    assert events == ["p", *["vanished"] * 6, "p"]


def test_a_registration_that_became_something_else_has_vanished() -> None:
    events: list[str] = []

    async def use(agent: ScriptedAgent, client: ConsulClient) -> float:
        agent.put("/v1/agent/service/p", consul_answers.plain_service("p"), by_hash=True)
        query = RegistrationQuery(
            client,
            Registration(id="p", name="p"),
            clock=ManualClock(),
            settings=SETTINGS,
            accept=lambda found: events.append(found.id),
            vanished=lambda: events.append("vanished"),
        )
        return await query.ask()

    assert talk(use) > 0
    assert events == ["vanished"]


def test_the_registration_is_blocked_on_by_hash() -> None:
    async def use(agent: ScriptedAgent, client: ConsulClient) -> list[str]:
        agent.put("/v1/agent/service/p", consul_answers.sidecar(proxy_id="p"), index=7, by_hash=True)
        query = RegistrationQuery(
            client,
            Registration(id="p", name="p", content_hash="before"),
            clock=ManualClock(),
            settings=SETTINGS,
            accept=lambda found: None,
            vanished=lambda: None,
        )
        await query.ask()
        await query.ask()
        query.start_over()
        await query.ask()
        return [request.params.get("hash", "") for request in agent.requests]

    assert talk(use) == ["before", "h7", ""]


# ---------------------------------------------------------------- leaf


def test_in_the_middle_of_its_life_a_leaf_is_blocked_on_as_long_as_anything() -> None:
    assert leaf_wait_s(a_leaf(), now=NOON, longest_s=60) == 60


def test_the_block_ends_where_the_successor_should_be_there() -> None:
    leaf = a_leaf(life=timedelta(seconds=100))
    assert leaf_wait_s(leaf, now=NOON + timedelta(seconds=70), longest_s=60) == pytest.approx(10)


def test_past_that_point_it_is_asked_for_more_and_more_often() -> None:
    leaf = a_leaf(life=timedelta(seconds=1000))
    waits = [
        leaf_wait_s(leaf, now=NOON + timedelta(seconds=s), longest_s=600) for s in (800, 900, 980, 999)
    ]
    assert waits == pytest.approx([20, 10, 2, 1])


@given(st.floats(1, 1e7), st.floats(-1e7, 2e7))
def test_a_leaf_is_never_blocked_on_for_no_time_or_too_long(life: float, age: float) -> None:
    leaf = a_leaf(life=timedelta(seconds=life))
    assert 1 <= leaf_wait_s(leaf, now=NOON + timedelta(seconds=age), longest_s=60) <= 60


def test_an_expired_leaf_is_not_handed_on() -> None:
    accepted: list[Leaf] = []

    async def use(agent: ScriptedAgent, client: ConsulClient) -> None:
        begins = datetime.now(UTC) - timedelta(days=9)
        agent.put("/v1/agent/connect/ca/leaf/web", consul_answers.leaf(begins=begins))
        clock = ManualClock()
        clock.elapsed = (datetime.now(UTC) - NOON).total_seconds()
        query = LeafQuery(client, "web", clock=clock, settings=SETTINGS, accept=accepted.append)
        with pytest.raises(AgentAnswerError, match="'web' expired at"):
            await query.ask()

    talk(use)
    assert accepted == []


def test_after_a_failure_a_leaf_is_asked_for_by_who_has_one() -> None:
    """Without an index it is as if there were none: the embedded agent then issues another at once."""

    async def use(agent: ScriptedAgent, client: ConsulClient) -> list[str]:
        agent.put("/v1/agent/connect/ca/leaf/web", consul_answers.leaf(begins=NOON), index=7)
        query = LeafQuery(client, "web", clock=ManualClock(), settings=SETTINGS, accept=lambda _leaf: None)
        query.start_over()
        await query.ask()
        query.start_over()
        await query.ask()
        return [request.params.get("index", "") for request in agent.requests]

    assert talk(use) == ["", "1"]


def test_a_leaf_is_handed_on_and_blocked_on() -> None:
    accepted: list[str] = []

    async def use(agent: ScriptedAgent, client: ConsulClient) -> list[str]:
        path = "/v1/agent/connect/ca/leaf/web"
        agent.put(path, consul_answers.leaf(begins=NOON), index=7)
        query = LeafQuery(
            client,
            "web",
            clock=ManualClock(),
            settings=SETTINGS,
            accept=lambda leaf: accepted.append(leaf.serial),
        )
        assert await query.ask() == 0
        agent.put(path, consul_answers.leaf(begins=NOON, serial="09"), index=9)
        await query.ask()
        return [request.params.get("index", "") for request in agent.requests]

    assert talk(use) == ["", "7"]
    assert accepted == ["08", "09"]


# ---------------------------------------------------------------- instances


def test_upstreams_beyond_the_places_are_polled_and_take_a_place_that_becomes_free() -> None:
    async def use(agent: ScriptedAgent, client: ConsulClient) -> None:
        for name in ("db", "cache"):
            agent.put(f"/v1/health/connect/{name}", [consul_answers.instance(name)], index=7)
        places = asyncio.Semaphore(1)
        patient = WatchSettings(wait_s=60, poll_s=10)
        seen: list[int] = []

        def query(name: str) -> InstancesQuery:
            return InstancesQuery(
                client,
                Upstream(destination_name=name),
                places=places,
                turns=asyncio.Semaphore(1),
                clock=ManualClock(randoms=0.5),
                settings=patient,
                accept=lambda found: seen.append(len(found)),
            )

        first, second = query("db"), query("cache")
        assert await first.ask() == 0
        held = asyncio.create_task(first.ask())
        await eventually(places.locked, "the place taken")
        assert [await second.ask(), await second.ask()] == [10, 10]
        assert [request.params for request in agent.asked("/v1/health/connect/cache")] == [{}, {}]
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        assert await second.ask() == 0
        assert seen == [1, 1, 1, 1]

    talk(use)


@dataclass
class Crowd:
    """An agent that counts how many ask at once."""

    now: int = 0
    most: int = 0

    async def instances(self, _service: str, **_options: object) -> SimpleNamespace:
        await self._noticed()
        return SimpleNamespace(value=(), index=0)

    async def execute_query(self, _name: str, **_options: object) -> tuple[Endpoint, ...]:
        await self._noticed()
        return ()

    async def _noticed(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1


def test_of_many_upstreams_only_so_many_are_asked_about_at_once() -> None:
    async def use() -> int:
        crowd = Crowd()
        places, turns = asyncio.Semaphore(3), asyncio.Semaphore(2)
        client, clock = cast(ConsulClient, crowd), ManualClock(randoms=0.5)
        queries: list[Query] = []
        for number in range(20):
            service = Upstream(destination_name=f"db-{number}")
            queries.append(
                InstancesQuery(
                    client,
                    service,
                    places=places,
                    turns=turns,
                    clock=clock,
                    settings=SETTINGS,
                    accept=lambda _: None,
                )
            )
            query = Upstream(destination_name=f"near-{number}", destination_type=PREPARED_QUERY)
            queries.append(
                PreparedQueryPoll(
                    client, query, turns=turns, clock=clock, settings=SETTINGS, accept=lambda _: None
                )
            )
        await asyncio.gather(*(query.ask() for query in queries))
        return crowd.most

    assert asyncio.run(use()) == 3 + 2


# ---------------------------------------------------------------- prepared queries


def test_the_same_instances_in_another_order_are_no_change() -> None:
    results: list[tuple[Endpoint, ...]] = []

    async def use(agent: ScriptedAgent, client: ConsulClient) -> list[float]:
        nodes = [consul_answers.instance(port=port) for port in (3, 1, 2)]
        query = PreparedQueryPoll(
            client,
            Upstream(destination_name="geo", destination_type="prepared_query"),
            turns=asyncio.Semaphore(1),
            clock=ManualClock(randoms=0.5),
            settings=SETTINGS,
            accept=results.append,
        )
        assert query.name == "upstream prepared_query:geo"
        for order in (nodes, nodes[::-1], nodes[:2]):
            agent.script("/v1/query/geo/execute", Reply(body={"Service": "db", "Nodes": order}))
        return [await query.ask() for _ in range(3)]

    assert talk(use) == [10, 10, 10]
    assert [[one.port for one in found] for found in results] == [[3, 1, 2], [3, 1, 2], [3, 1]]
    assert results[0] is results[1]
