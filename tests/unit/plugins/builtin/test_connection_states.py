from __future__ import annotations

import pytest

from connect_proxy.errors import TransitionError
from connect_proxy_builtin.connection_states import INBOUND, OUTBOUND, Event, State, Table, after


def reachable_before(table: Table, start: State, forbidden: tuple[State, Event]) -> set[State]:
    """States that can be reached without the one arc."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (before, event), following in table.items():
            if before is state and (before, event) != forbidden and following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def test_the_application_is_never_dialled_without_permission() -> None:
    without = reachable_before(INBOUND, State.WAITING, (State.AUTHORIZING, Event.ALLOWED))
    assert State.DIALLING not in without
    assert State.RELAYING not in without


def test_no_byte_is_relayed_to_an_upstream_that_was_not_identified() -> None:
    without = reachable_before(OUTBOUND, State.CHOOSING, (State.HANDSHAKING, Event.IDENTIFIED))
    assert State.RELAYING not in without


@pytest.mark.parametrize("table", [INBOUND, OUTBOUND])
def test_every_state_can_be_closed(table: Table) -> None:
    for state in {state for state, _ in table}:
        assert after(table, state, Event.CLOSE) is State.CLOSED


@pytest.mark.parametrize("table", [INBOUND, OUTBOUND])
def test_nothing_leads_out_of_closed(table: Table) -> None:
    for event in Event:
        with pytest.raises(TransitionError, match="closed"):
            after(table, State.CLOSED, event)


def test_an_arc_that_is_not_there_names_state_and_event() -> None:
    with pytest.raises(TransitionError, match=r"waiting for the first byte.*allowed"):
        after(INBOUND, State.WAITING, Event.ALLOWED)
