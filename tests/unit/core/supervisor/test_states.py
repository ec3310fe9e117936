"""The table: every state and event is thought of."""

import pytest

from connect_proxy.supervisor.states import (
    ALIVE_STATES,
    BEING_STOPPED_STATES,
    ENDED_STATES,
    TRANSITIONS,
    Event,
    State,
)


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_stop_can_be_asked_for_in_every_state(state: State) -> None:
    assert Event.STOP in TRANSITIONS[state]
    assert Event.STOP_NOW in TRANSITIONS[state]


@pytest.mark.parametrize("state", [state for state in State if state in ALIVE_STATES])
def test_a_living_process_can_end_in_every_state(state: State) -> None:
    ends = {Event.GONE} if state in BEING_STOPPED_STATES else {Event.CRASHED, Event.ENDED_WELL}
    assert ends <= set(TRANSITIONS[state])


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_an_end(state: State) -> None:
    reached, frontier = {state}, {state}
    while frontier:
        frontier = {after for before in frontier for after in TRANSITIONS[before].values()} - reached
        reached |= frontier
    assert reached & ENDED_STATES


def test_a_process_that_is_being_stopped_is_never_started_again() -> None:
    for state in BEING_STOPPED_STATES:
        assert State.STARTING not in TRANSITIONS[state].values()
        assert State.BACKOFF not in TRANSITIONS[state].values()
