"""What to do with a supervised process, decided without touching it.

:meth:`ProcessMachine.handle` takes an event and the time and answers with actions; the loop in
:mod:`connect_proxy.supervisor.supervisor` carries them out and reports what came of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from connect_proxy.errors import TransitionError
from connect_proxy.supervisor.backoff import Backoff
from connect_proxy.supervisor.states import TRANSITIONS, Event, State


class Action(Enum):
    """What the loop has to do."""

    SPAWN = "spawn"
    PAUSE = "pause"
    """Wait :attr:`ProcessMachine.pause_s`, then report PAUSE_OVER."""
    DRAIN = "drain"
    """Ask the proxy to finish; report DRAINED at the end or after the time for it."""
    SIGNAL = "signal"
    """Send the stop signal; report STOP_TIMEOUT if it is still there after the time for it."""
    KILL = "kill"
    """SIGKILL."""


ON_ENTRY = {
    State.STARTING: Action.SPAWN,
    State.BACKOFF: Action.PAUSE,
    State.DRAINING: Action.DRAIN,
    State.STOPPING: Action.SIGNAL,
    State.KILLING: Action.KILL,
}
"""Entering a state from another one asks for this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """When an end that nobody asked for leads to a new start."""

    backoff: Backoff = Backoff()  # noqa: RUF009  (frozen)
    restart_before_ready: bool = True
    """False: a process that ends before it ever was ready is not started again."""
    restart_after_success: bool = True
    """False: exit code 0 is an end in order."""
    permanent_exit_codes: frozenset[int] = frozenset()


@dataclass
class ProcessMachine:
    """One process's state, and the memory that its restarts need."""

    policy: RestartPolicy
    chance: Callable[[], float]
    """Draws jitter: uniform in [0, 1)."""
    state: State = State.STOPPED
    starts_in_a_row: int = 0
    restarts: int = 0
    pause_s: float = 0.0
    was_ready: bool = False
    started_at: float = field(default=0.0)

    def __repr__(self) -> str:
        return f"<ProcessMachine {self.state.value}, {self.starts_in_a_row} starts in a row>"

    def handle(self, event: Event, now: float) -> Action | None:
        """Move on; the action that follows. Raises TransitionError for what cannot happen."""
        before = self.state
        try:
            after = TRANSITIONS[before][event]
        except KeyError as exc:
            message = f"a process that is {before.value!r} cannot take the event {event.value!r}"
            raise TransitionError(message) from exc
        self.state = after
        if event in {Event.READY, Event.ADOPTED}:
            self.was_ready = True
        if after is before:
            return None
        if after is State.STARTING or event is Event.ADOPTED:
            self._note_start(now, again=event is Event.PAUSE_OVER)
        if after is State.BACKOFF:
            self._note_crash(now)
        return ON_ENTRY.get(after)

    def ended(self, status: int | None) -> Event:
        """The event that an end with *status* is: an exit code, minus the signal's number, or unknown."""
        if self.state in {State.DRAINING, State.STOPPING, State.KILLING}:
            return Event.GONE
        if status in self.policy.permanent_exit_codes:
            return Event.ENDED_FOR_GOOD
        if status == 0 and not self.policy.restart_after_success:
            return Event.ENDED_WELL
        if not self.was_ready and not self.policy.restart_before_ready:
            return Event.ENDED_FOR_GOOD
        return Event.CRASHED

    def _note_start(self, now: float, *, again: bool) -> None:
        if again:
            self.restarts += 1
        else:
            self.starts_in_a_row = 1
        self.started_at = now

    def _note_crash(self, now: float) -> None:
        if now - self.started_at >= self.policy.backoff.healthy_after_s:
            self.starts_in_a_row = 0
        self.starts_in_a_row += 1
        self.pause_s = self.policy.backoff.pause_s(self.starts_in_a_row, self.chance())
