import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from connect_proxy.dev_agent.changes import Changes, Topic, connect_topic, service_topic
from support.eventually import eventually

A, B, C = ("a",), ("b",), ("c",)
topics = st.sampled_from([A, B, C])
some_topics = st.lists(topics, unique=True)
LONG = 60.0


def test_the_index_of_what_never_changed_is_one_and_never_zero() -> None:
    assert Changes().index(A) == 1


@given(st.lists(some_topics))
def test_every_write_gets_an_index_of_its_own(writes: list[list[Topic]]) -> None:
    changes = Changes()
    assert [changes.bump(*touched) for touched in writes] == list(range(1, len(writes) + 1))


@given(st.lists(some_topics), topics)
def test_the_index_of_a_topic_is_that_of_its_last_write(writes: list[list[Topic]], topic: Topic) -> None:
    changes = Changes()
    for touched in writes:
        changes.bump(*touched)
    last = max((number for number, touched in enumerate(writes, 1) if topic in touched), default=1)
    assert changes.index(topic) == last


def test_after_an_agent_before_every_subject_counts_as_written_by_it() -> None:
    changes = Changes(start=40)
    assert (changes.index(A), changes.latest, changes.start) == (40, 40, 40)
    assert changes.bump(A) == changes.index(A, B) == 41
    assert changes.index(B) == 40


def test_every_write_is_told() -> None:
    changes, told = Changes(), []
    changes.on_write = lambda: told.append(changes.latest)
    changes.bump(A)
    changes.bump()
    assert told == [1, 2]


def test_several_topics_have_the_index_of_the_latest() -> None:
    changes = Changes()
    changes.bump(A)
    changes.bump(B)
    assert changes.index(A, B) == 2


def test_a_waiter_is_woken_by_its_own_topic_and_by_no_other() -> None:
    async def run() -> None:
        changes = Changes()
        mine = asyncio.create_task(changes.wait((service_topic("a"),), timeout=LONG))
        other = asyncio.create_task(changes.wait((service_topic("b"), connect_topic("a")), timeout=LONG))
        await eventually(lambda: changes.waiting == 2, "two waiters")
        changes.bump(service_topic("a"))
        assert await mine is True
        assert not other.done()
        changes.bump(connect_topic("a"))
        assert await other is True
        assert changes.waiting == 0

    asyncio.run(run())


def test_a_waiter_gives_up_after_its_time() -> None:
    async def run() -> None:
        changes = Changes()
        assert await changes.wait((A,), timeout=0.01) is False
        assert await changes.wait((A,), timeout=0) is False
        assert changes.waiting == 0

    asyncio.run(run())


def test_a_cancelled_waiter_is_forgotten() -> None:
    async def run() -> None:
        changes = Changes()
        waiter = asyncio.create_task(changes.wait((A, B), timeout=LONG))
        await eventually(lambda: changes.waiting == 1, "a waiter")
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert changes.waiting == 0

    asyncio.run(run())


def test_closing_wakes_everybody_and_nobody_sleeps_afterwards() -> None:
    async def run() -> None:
        changes = Changes()
        waiters = [asyncio.create_task(changes.wait((topic,), timeout=LONG)) for topic in (A, B, C)]
        await eventually(lambda: changes.waiting == 3, "three waiters")
        changes.close()
        assert await asyncio.gather(*waiters) == [False, False, False]
        assert await changes.wait((A,), timeout=LONG) is False

    asyncio.run(run())


class Waiters(RuleBasedStateMachine):
    """Waits, writes and cancellations in any order: woken are those, and only those, concerned."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.changes = Changes()
        self.asleep: dict[asyncio.Task[bool], frozenset[Topic]] = {}

    def teardown(self) -> None:
        for task in self.asleep:
            task.cancel()
        if self.asleep:
            self.loop.run_until_complete(asyncio.wait(self.asleep))
        self.loop.close()

    @rule(wanted=st.lists(topics, unique=True, min_size=1))
    def wait(self, wanted: list[Topic]) -> None:
        task = self.loop.create_task(self.changes.wait(wanted, timeout=LONG))
        self.asleep[task] = frozenset(wanted)
        self.turn()

    @rule(touched=some_topics)
    def write(self, touched: list[Topic]) -> None:
        self.changes.bump(*touched)
        self.turn()
        for task, wanted in list(self.asleep.items()):
            assert task.done() == bool(wanted & set(touched))
            if task.done():
                assert task.result() is True
                del self.asleep[task]

    @rule()
    def cancel_one(self) -> None:
        for task in list(self.asleep)[:1]:
            task.cancel()
            del self.asleep[task]
        self.turn()

    @invariant()
    def as_many_wait_as_were_not_woken(self) -> None:
        assert self.changes.waiting == len(self.asleep)

    def turn(self) -> None:
        """Let the loop do what is to be done now: as many turns as a wait has steps."""
        for _ in range(4):
            self.loop.run_until_complete(asyncio.sleep(0))


TestWaiters = Waiters.TestCase
TestWaiters.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
