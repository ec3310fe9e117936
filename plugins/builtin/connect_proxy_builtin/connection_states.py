"""The life of a connection up to the relaying of bytes: one table for each direction.

Inbound: a caller's connection waits for its first byte (a bare TCP check never sends one), shakes
hands, is authorised, and only then is the application dialled.

Outbound: the application's connection has an instance chosen for it, dialled, shaken hands with and
its identity checked; on failure another one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from connect_proxy.errors import TransitionError


class State(Enum):
    """Where a connection stands."""

    WAITING = "waiting for the first byte"
    CHOOSING = "choosing an instance"
    HANDSHAKING = "shaking hands"
    AUTHORIZING = "being authorised"
    DIALLING = "dialling"
    RELAYING = "relaying"
    CLOSED = "closed"


class Event(Enum):
    """What moves it on."""

    FIRST_BYTE = "first byte"
    CHOSEN = "instance chosen"
    IDENTIFIED = "peer identified"
    ALLOWED = "allowed"
    CONNECTED = "connected"
    FAILED = "attempt failed"
    CLOSE = "close"


Table = Mapping[tuple[State, Event], State]

INBOUND: Table = {
    (State.WAITING, Event.FIRST_BYTE): State.HANDSHAKING,
    (State.HANDSHAKING, Event.IDENTIFIED): State.AUTHORIZING,
    (State.AUTHORIZING, Event.ALLOWED): State.DIALLING,
    (State.DIALLING, Event.CONNECTED): State.RELAYING,
    (State.WAITING, Event.CLOSE): State.CLOSED,
    (State.HANDSHAKING, Event.CLOSE): State.CLOSED,
    (State.AUTHORIZING, Event.CLOSE): State.CLOSED,
    (State.DIALLING, Event.CLOSE): State.CLOSED,
    (State.RELAYING, Event.CLOSE): State.CLOSED,
}

OUTBOUND: Table = {
    (State.CHOOSING, Event.CHOSEN): State.DIALLING,
    (State.DIALLING, Event.CONNECTED): State.HANDSHAKING,
    (State.HANDSHAKING, Event.IDENTIFIED): State.RELAYING,
    (State.DIALLING, Event.FAILED): State.CHOOSING,
    (State.HANDSHAKING, Event.FAILED): State.CHOOSING,
    (State.CHOOSING, Event.CLOSE): State.CLOSED,
    (State.DIALLING, Event.CLOSE): State.CLOSED,
    (State.HANDSHAKING, Event.CLOSE): State.CLOSED,
    (State.RELAYING, Event.CLOSE): State.CLOSED,
}


def after(table: Table, state: State, event: Event) -> State:
    """The next state. Raises TransitionError where the table has no arc."""
    try:
        return table[state, event]
    except KeyError:
        message = f"a connection that is {state.value!r} has no arc for {event.value!r}"
        raise TransitionError(message) from None
