import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from connect_proxy.consul.blocking_query import Backoff, Pace
from connect_proxy.errors import AgentUnreachableError, ConsulError, UnknownTokenError
from connect_proxy.secret import NO_SECRET, Secret
from connect_proxy.snapshot.query_health import QueryHealth
from connect_proxy.snapshot.query_loop import Nudge, QueryLoop
from connect_proxy.snapshot.settings import WatchSettings
from support.manual_clock import ManualClock

SETTINGS = WatchSettings(
    backoff=Backoff(quick_s=1, first_s=2, ceiling_s=8), pace=Pace(burst=100, per_second=1)
)


@dataclass
class ListedQuery:
    """Gives what is listed, an error or a pause, and holds back for ever at the end."""

    outcomes: list[ConsulError | float]
    name: str = "leaf"
    started_over: int = 0
    at_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self) -> float:
        if not self.outcomes:
            self.at_end.set()
            await asyncio.get_running_loop().create_future()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def start_over(self) -> None:
        self.started_over += 1


def run(
    query: ListedQuery,
    *,
    settings: WatchSettings = SETTINGS,
    token: Callable[[], Secret] = lambda: NO_SECRET,
    refresh: Callable[[], bool] = lambda: False,
) -> tuple[ManualClock, QueryHealth]:
    """Ask until the list is used up."""
    clock = ManualClock(randoms=1.0)
    health = QueryHealth(clock)

    async def go() -> None:
        loop = QueryLoop(
            clock=clock,
            settings=settings,
            health=health,
            nudge=Nudge(clock),
            token=token,
            refresh_token=refresh,
        )
        task = asyncio.create_task(loop.run(query))
        await asyncio.wait_for(query.at_end.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    return clock, health


def failing(health: QueryHealth) -> tuple[str, ...]:
    return health.status(generation=0, changed_at=None).failing


GONE = AgentUnreachableError("gone")


def test_failures_are_backed_off_from_and_start_the_query_over() -> None:
    query = ListedQuery([GONE, GONE, GONE, GONE, GONE])
    clock, health = run(query)
    assert clock.slept == [1, 2, 4, 8, 8]
    assert query.started_over == 5
    assert failing(health) == ("leaf",)


def test_a_success_resets_the_back_off_and_the_health() -> None:
    clock, health = run(ListedQuery([GONE, GONE, 0.0, GONE, 0.0]))
    assert clock.slept == [1, 2, 1]
    assert failing(health) == ()


def test_a_pause_that_a_query_wants_is_made() -> None:
    clock, _ = run(ListedQuery([10.0, 0.0, 5.0]))
    assert clock.slept == [10, 5]


def test_answers_without_end_are_paced() -> None:
    settings = WatchSettings(pace=Pace(burst=2, per_second=1))
    clock, _ = run(ListedQuery([0.0] * 6), settings=settings)
    assert clock.slept == [1, 1, 1, 1]


def test_a_refusal_that_a_new_token_may_heal_is_tried_again_at_once() -> None:
    fresh = [True]
    clock, health = run(
        ListedQuery([UnknownTokenError("old"), 0.0]), refresh=lambda: bool(fresh and fresh.pop())
    )
    assert clock.slept == []
    assert failing(health) == ()


def test_a_refusal_of_the_token_before_is_tried_again_at_once() -> None:
    """Another query has read the file meanwhile: this one was held and asked with the old token."""
    in_force = ["old", "new"]
    clock, health = run(
        ListedQuery([UnknownTokenError("old"), 0.0]),
        token=lambda: Secret(in_force.pop(0) if len(in_force) > 1 else in_force[0]),
    )
    assert clock.slept == []
    assert failing(health) == ()


def test_a_refusal_without_a_new_token_is_a_failure() -> None:
    clock, _ = run(ListedQuery([UnknownTokenError("old")]))
    assert clock.slept == [1]


def test_a_nudge_ends_a_pause() -> None:
    class Frozen(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.get_running_loop().create_future()

    async def go() -> None:
        nudge = Nudge(Frozen())
        pauses = [asyncio.create_task(nudge.pause(1000)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        nudge.all()
        await asyncio.wait_for(asyncio.gather(*pauses), 60)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())


def test_a_cancelled_pause_leaves_no_task_behind() -> None:
    async def go() -> None:
        nudge = Nudge(ManualClock())
        pause = asyncio.create_task(nudge.pause(1000))
        await asyncio.sleep(0)
        pause.cancel()
        await asyncio.gather(pause, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
