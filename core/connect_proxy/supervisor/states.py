"""The life of a supervised process, as a table. Nothing else decides which state follows which.

A process is STOPPED until it is wanted. STARTING lasts from the spawn to the first readiness,
RUNNING from then on. When it ends by itself it is either started again after a pause (BACKOFF) or
left alone: EXITED where its end was in order, FATAL where starting again cannot help. A wanted stop
goes through DRAINING (connections finish), STOPPING (the stop signal was sent) and KILLING (SIGKILL
was sent) to STOPPED. The names are those of the supervisors that operators know.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Where a supervised process stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    DRAINING = "draining"
    STOPPING = "stopping"
    KILLING = "killing"
    EXITED = "exited"
    FATAL = "fatal"


class Event(Enum):
    """What can happen to it."""

    START = "start"
    """It is wanted."""
    ADOPTED = "adopted"
    """It runs already, started by an agent before us."""
    READY = "ready"
    """Traffic can flow."""
    ENDED_WELL = "ended well"
    """It ended by itself, in order: no restart is due."""
    ENDED_FOR_GOOD = "ended for good"
    """It ended by itself and starting it again cannot help."""
    CRASHED = "crashed"
    """It ended by itself, or could not be spawned, and is to be started again."""
    PAUSE_OVER = "pause over"
    """The back-off ran out."""
    STOP = "stop"
    """It is not wanted any more: let it finish first."""
    STOP_NOW = "stop now"
    """It is not wanted any more: do not wait for connections."""
    DRAINED = "drained"
    """Nothing is left to finish, or the time for it is over."""
    STOP_TIMEOUT = "stop timeout"
    """It did not end in time after the stop signal."""
    GONE = "gone"
    """It ended while it was being stopped."""


_ALIVE_END: Final = {
    Event.ENDED_WELL: State.EXITED,
    Event.ENDED_FOR_GOOD: State.FATAL,
    Event.CRASHED: State.BACKOFF,
}

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.STOPPED: {
        Event.START: State.STARTING,
        Event.ADOPTED: State.RUNNING,
        Event.STOP: State.STOPPED,
        Event.STOP_NOW: State.STOPPED,
    },
    State.STARTING: {
        Event.READY: State.RUNNING,
        # Readiness is asked for now and then: it may have callers that nobody has noticed yet.
        Event.STOP: State.DRAINING,
        Event.STOP_NOW: State.STOPPING,
        **_ALIVE_END,
    },
    State.RUNNING: {
        Event.READY: State.RUNNING,
        Event.STOP: State.DRAINING,
        Event.STOP_NOW: State.STOPPING,
        **_ALIVE_END,
    },
    State.BACKOFF: {
        Event.PAUSE_OVER: State.STARTING,
        Event.START: State.STARTING,
        Event.STOP: State.STOPPED,
        Event.STOP_NOW: State.STOPPED,
    },
    State.DRAINING: {
        Event.READY: State.DRAINING,
        Event.STOP: State.DRAINING,
        Event.STOP_NOW: State.STOPPING,
        Event.DRAINED: State.STOPPING,
        Event.GONE: State.STOPPED,
    },
    State.STOPPING: {
        Event.READY: State.STOPPING,
        Event.STOP: State.STOPPING,
        Event.STOP_NOW: State.STOPPING,
        Event.DRAINED: State.STOPPING,
        Event.STOP_TIMEOUT: State.KILLING,
        Event.GONE: State.STOPPED,
    },
    State.KILLING: {
        Event.READY: State.KILLING,
        Event.STOP: State.KILLING,
        Event.STOP_NOW: State.KILLING,
        Event.DRAINED: State.KILLING,
        Event.STOP_TIMEOUT: State.KILLING,
        Event.GONE: State.STOPPED,
    },
    State.EXITED: {Event.START: State.STARTING, Event.STOP: State.STOPPED, Event.STOP_NOW: State.STOPPED},
    State.FATAL: {Event.START: State.STARTING, Event.STOP: State.STOPPED, Event.STOP_NOW: State.STOPPED},
}

ALIVE_STATES: Final = frozenset(
    {State.STARTING, State.RUNNING, State.DRAINING, State.STOPPING, State.KILLING}
)
"""There is a process."""
BEING_STOPPED_STATES: Final = frozenset({State.DRAINING, State.STOPPING, State.KILLING})
ENDED_STATES: Final = frozenset({State.STOPPED, State.EXITED, State.FATAL})
"""There is no process, and none will come by itself."""
