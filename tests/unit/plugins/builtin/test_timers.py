from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy_builtin.timers import COMPACT_AT, Timers


def run_due(timers: Timers, now: float) -> None:
    while (callback := timers.pop(now)) is not None:
        callback()


def test_nothing_is_due_before_its_time() -> None:
    timers = Timers()
    timers.add(5.0, lambda: None)
    assert timers.pop(4.9) is None
    assert timers.pop(5.0) is not None


def test_one_callback_can_cancel_another_of_the_same_moment() -> None:
    timers, called = Timers(), []
    second = timers.add(2.0, lambda: called.append("second"))
    timers.add(1.0, second.cancel)
    run_due(timers, 3.0)
    assert called == []


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())))
def test_every_deadline_that_was_not_cancelled_is_called_once_and_in_order(
    deadlines: list[tuple[float, bool]],
) -> None:
    timers = Timers()
    called: list[float] = []
    for when, cancelled in deadlines:
        timer = timers.add(when, functools.partial(called.append, when))
        if cancelled:
            timer.cancel()
    run_due(timers, 100.0)
    assert called == sorted(when for when, cancelled in deadlines if not cancelled)
    assert len(timers) == 0


def test_cancelled_deadlines_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(20 * COMPACT_AT):
        timers.add(1000.0 + number, lambda: None).cancel()
    assert len(timers) <= COMPACT_AT
