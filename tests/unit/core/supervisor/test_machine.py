"""What is done with a process, decided without one."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connect_proxy.errors import TransitionError
from connect_proxy.supervisor.backoff import Backoff
from connect_proxy.supervisor.machine import Action, ProcessMachine, RestartPolicy
from connect_proxy.supervisor.states import ALIVE_STATES, TRANSITIONS, Event, State


def machine(**policy: object) -> ProcessMachine:
    return ProcessMachine(policy=RestartPolicy(**policy), chance=lambda: 0.0)  # type: ignore[arg-type]


def crash(process: ProcessMachine, *, at: float) -> float:
    """End it badly; the pause that follows."""
    process.handle(process.ended(1), at)
    return process.pause_s


def test_a_wanted_process_is_spawned() -> None:
    assert machine().handle(Event.START, 0) is Action.SPAWN


def test_crashes_in_a_row_are_paused_longer_and_longer() -> None:
    process = machine()
    process.handle(Event.START, 0)
    pauses = []
    for _ in range(6):
        pauses.append(crash(process, at=1))
        process.handle(Event.PAUSE_OVER, 1)
    assert pauses == [0, 0, 2, 4, 8, 16]
    assert process.restarts == 6


def test_ten_seconds_of_life_forget_earlier_crashes() -> None:
    process = machine()
    process.handle(Event.START, 0)
    for _ in range(5):
        crash(process, at=1)
        process.handle(Event.PAUSE_OVER, 1)
    assert crash(process, at=11) == 0


def test_the_count_can_be_reset_after_a_pause_too() -> None:
    """Consul's managed proxies could not: one crash loop made every later pause long."""
    process = machine()
    process.handle(Event.START, 0)
    now = 0.0
    for _ in range(9):
        crash(process, at=now)
        process.handle(Event.PAUSE_OVER, now)
    process.handle(Event.READY, now)
    assert crash(process, at=now + 3600) == 0


def test_a_permanent_exit_code_is_final() -> None:
    process = machine(permanent_exit_codes=frozenset({78}))
    process.handle(Event.START, 0)
    assert process.handle(process.ended(78), 1) is None
    assert process.state is State.FATAL


def test_an_end_in_order_is_no_crash_where_the_policy_says_so() -> None:
    process = machine(restart_after_success=False)
    process.handle(Event.START, 0)
    process.handle(process.ended(0), 1)
    assert process.state is State.EXITED


def test_a_failed_first_start_is_final_where_the_policy_says_so() -> None:
    process = machine(restart_before_ready=False)
    process.handle(Event.START, 0)
    process.handle(process.ended(1), 1)
    assert process.state is State.FATAL


def test_a_ready_process_is_started_again_under_that_policy() -> None:
    process = machine(restart_before_ready=False)
    process.handle(Event.START, 0)
    process.handle(Event.READY, 1)
    assert process.handle(process.ended(-11), 2) is Action.PAUSE


def test_a_stop_drains_then_signals_then_kills() -> None:
    process = machine()
    process.handle(Event.START, 0)
    process.handle(Event.READY, 0)
    assert process.handle(Event.STOP, 1) is Action.DRAIN
    assert process.handle(Event.DRAINED, 2) is Action.SIGNAL
    assert process.handle(Event.STOP_TIMEOUT, 3) is Action.KILL
    process.handle(process.ended(-9), 3)
    assert process.state is State.STOPPED


def test_a_process_is_drained_also_before_it_was_seen_ready() -> None:
    process = machine()
    process.handle(Event.START, 0)
    assert process.handle(Event.STOP, 1) is Action.DRAIN
    assert process.handle(Event.DRAINED, 2) is Action.SIGNAL


def test_a_second_stop_does_not_wait_for_connections() -> None:
    process = machine()
    process.handle(Event.START, 0)
    process.handle(Event.READY, 0)
    process.handle(Event.STOP, 1)
    assert process.handle(Event.STOP_NOW, 2) is Action.SIGNAL


def test_an_impossible_event_names_state_and_event() -> None:
    with pytest.raises(TransitionError, match=r"'stopped' cannot take the event 'gone'"):
        machine().handle(Event.GONE, 0)


class AnyLife(RuleBasedStateMachine):
    """Whatever happens in whatever order, a process is spawned only where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.process = ProcessMachine(policy=RestartPolicy(backoff=Backoff()), chance=lambda: 0.5)
        self.now = 0.0
        self.alive = False
        self.stop_asked = False

    def feed(self, event: Event) -> None:
        action = self.process.handle(event, self.now)
        if action is Action.SPAWN:
            assert not self.alive
            assert not self.stop_asked
            self.alive = True
        if action in {Action.SIGNAL, Action.KILL, Action.DRAIN}:
            assert self.alive
        if action is Action.PAUSE:
            assert 0 <= self.process.pause_s <= 60

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(event=st.sampled_from([Event.READY, Event.PAUSE_OVER, Event.DRAINED, Event.STOP_TIMEOUT]))
    def something_happens(self, event: Event) -> None:
        if event in TRANSITIONS[self.process.state]:
            self.feed(event)

    @precondition(lambda self: not self.alive and not self.stop_asked)
    @rule()
    def it_is_wanted(self) -> None:
        if Event.START in TRANSITIONS[self.process.state]:
            self.feed(Event.START)

    @precondition(lambda self: self.alive)
    @rule(status=st.integers(-15, 3))
    def it_ends(self, status: int) -> None:
        self.alive = False
        self.feed(self.process.ended(status))

    @rule(event=st.sampled_from([Event.STOP, Event.STOP_NOW]))
    def it_is_not_wanted(self, event: Event) -> None:
        self.stop_asked = True
        self.feed(event)

    @invariant()
    def the_state_knows_whether_there_is_a_process(self) -> None:
        assert self.alive == (self.process.state in ALIVE_STATES)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=50, deadline=None)
