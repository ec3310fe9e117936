"""The loop that feeds one process's machine and carries out what it says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from connect_proxy.errors import ConnectProxyError, PassingError
from connect_proxy.plugin_api import Supervision
from connect_proxy.supervisor.machine import Action, ProcessMachine, RestartPolicy
from connect_proxy.supervisor.states import ALIVE_STATES, ENDED_STATES, Event, State

log = logging.getLogger("connect_proxy.supervisor")

READY_POLL_S = 0.05
"""Between two questions whether a starting proxy is ready. Asked only until it is."""
SPAWN_FAILED = 127
"""Counts as the exit status of a process that could not be spawned, as in a shell."""


class Process(Protocol):
    """What the supervisor needs of a process; :class:`.process.ChildProcess` is the real one."""

    pid: int

    async def wait(self) -> int | None:
        """Its end: exit code, or minus the signal's number; None where that cannot be known."""

    def signal(self, number: int) -> None:
        """Send a signal."""

    def kill_group(self) -> None:
        """SIGKILL for it and its session."""

    def let_go(self) -> None:
        """Leave it running and forget it."""

    def end_session(self) -> tuple[int, ...]:
        """SIGKILL for what an ended process left in its session; the pids."""


class Supervisor:
    """Keeps one process running until it is told to stop."""

    def __init__(
        self,
        *,
        name: str,
        start: Callable[[], Process],
        supervise: Callable[[Process], Supervision],
        policy: Callable[[Supervision | None], RestartPolicy],
        on_state: Callable[[State], None] = lambda _state: None,
        adopted: Process | None = None,
        hindrance: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*hindrance*: why it cannot be started again now, empty if it can; asked at the end of a back-off,
        and again after every :meth:`retry`."""
        self._name = name
        self._start = start
        self._supervise = supervise
        self._policy = policy
        self._on_state = on_state
        self._clock = clock
        self._hindrance = hindrance
        self._retried = asyncio.Event()
        self._machine = ProcessMachine(policy=policy(None), chance=random.random)
        self._process: Process | None = adopted
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self.supervision: Supervision | None = None
        self.last_status: int | None = None
        self._left = False

    def __repr__(self) -> str:
        return f"<Supervisor {self._name} {self.state.value}>"

    @property
    def state(self) -> State:
        """Where the process stands."""
        return self._machine.state

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._machine.restarts

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process and self.state in ALIVE_STATES else None

    async def run(self) -> int:
        """Start it and stay with it; its last exit status once it is to stay ended."""
        if self._process is None:
            self._feed(Event.START)
        else:
            self._adopt(self._process)
        try:
            await self._ended.wait()
        finally:
            await self._end_tasks()
        return self.last_status if self.last_status is not None else 0

    def stop(self, *, now: bool = False) -> None:
        """Let it finish and end it; *now*: without waiting for its connections."""
        self._feed(Event.STOP_NOW if now else Event.STOP)

    def retry(self) -> None:
        """What hindered a start may be gone: look again."""
        self._retried.set()

    # ------------------------------------------------------------ events and actions

    def _feed(self, event: Event) -> None:
        before = self.state
        action = self._machine.handle(event, self._clock())
        if self.state is not before:
            log.debug("%s: %s -> %s (%s)", self._name, before.value, self.state.value, event.value)
            self._on_state(self.state)
        if action is not None:
            self._carry_out(action)
        if self.state in ENDED_STATES:
            self._ended.set()

    def _carry_out(self, action: Action) -> None:
        supervision = self.supervision or Supervision()
        match action:
            case Action.SPAWN:
                self._spawn()
            case Action.PAUSE:
                pause = self._machine.pause_s
                log.warning("%s: starting again in %.1f s", self._name, pause)
                self._keep(self._pause(pause))
            case Action.DRAIN:
                self._keep(self._drain(supervision))
            case Action.SIGNAL:
                self._signal(supervision.stop_signal)
                self._later(supervision.stop_timeout_s, Event.STOP_TIMEOUT, State.STOPPING)
            case Action.KILL:
                log.warning(
                    "%s: still there %g s after %s, killing it", self._name, *_stop_words(supervision)
                )
                if self._process:
                    self._process.kill_group()

    def _spawn(self) -> None:
        try:
            self._process = self._start()
        except PassingError as exc:
            log.error("%s: %s", self._name, exc)
            self._feed(Event.CRASHED)
            return
        except ConnectProxyError as exc:
            if not self._machine.was_ready:
                raise
            log.error("%s: %s", self._name, exc)
            self.last_status = SPAWN_FAILED
            self._feed(self._machine.ended(SPAWN_FAILED))
            return
        self.supervision = self._supervise(self._process)
        self._machine.policy = self._policy(self.supervision)
        log.info("%s: started with pid %d", self._name, self._process.pid)
        self._keep(self._watch(self._process))
        self._keep(self._await_ready(self._process, self.supervision))

    def _adopt(self, process: Process) -> None:
        self.supervision = self._supervise(process)
        self._machine.policy = self._policy(self.supervision)
        self._keep(self._watch(process))
        self._feed(Event.ADOPTED)

    def leave(self) -> Process | None:
        """End the supervision and leave the process running: :meth:`run` returns, nothing is signalled.
        The caller has the process now, to watch it or to let go of it."""
        self._left = True
        self._ended.set()
        return self._process if self.state in ALIVE_STATES else None

    async def _watch(self, process: Process) -> None:
        status = await process.wait()
        self.last_status = status
        if left := process.end_session():
            what = "has double-forked" if status == 0 else "left processes behind"
            log.error("%s: pid %d %s; ended %s of its session", self._name, process.pid, what, _pids(left))
        event = self._machine.ended(status)
        level = logging.INFO if event is Event.GONE or status == 0 else logging.ERROR
        log.log(level, "%s: pid %d ended: %s", self._name, process.pid, self._in_words(status))
        self._feed(event)

    def _in_words(self, status: int | None) -> str:
        words, explain = describe_status(status), self.supervision and self.supervision.explain_exit
        more = explain(status) if explain and status is not None else ""
        return f"{words} ({more})" if more else words

    async def _await_ready(self, process: Process, supervision: Supervision) -> None:
        if supervision.is_ready is None:
            self._feed(Event.READY)
            return
        while process is self._process and self.state is State.STARTING:
            if await supervision.is_ready():
                if process is self._process and self.state is State.STARTING:
                    self._feed(Event.READY)
                return
            await asyncio.sleep(READY_POLL_S)

    async def _drain(self, supervision: Supervision) -> None:
        if supervision.drain is not None:
            try:
                # The drain keeps to its time by itself; this bound is for one that does not.
                async with asyncio.timeout(supervision.drain_timeout_s + 1):
                    await supervision.drain(supervision.drain_timeout_s)
            except TimeoutError:
                log.warning("%s: not drained after %g s", self._name, supervision.drain_timeout_s)
            except Exception:
                # Whatever a drain raised, the stop goes on: a failing drain must not keep a proxy.
                log.exception("%s: draining failed", self._name)
        if self.state is State.DRAINING:
            self._feed(Event.DRAINED)

    def _signal(self, number: int) -> None:
        if self._process:
            self._process.signal(number)

    async def _pause(self, delay: float) -> None:
        """Until the back-off is over and nothing hinders a start."""
        await asyncio.sleep(delay)
        while self.state is State.BACKOFF:
            # Cleared first: a retry while the hindrance is looked at counts.
            self._retried.clear()
            if not self._hindrance():
                self._feed(Event.PAUSE_OVER)
                return
            await self._retried.wait()

    def _later(self, delay: float, event: Event, while_in: State) -> None:
        async def wait() -> None:
            await asyncio.sleep(delay)
            if self.state is while_in:
                self._feed(event)

        self._keep(wait())

    # ------------------------------------------------------------ tasks

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: supervision failed", self._name, exc_info=error)

    async def _end_tasks(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._process is not None and self.state in ALIVE_STATES and not self._left:
            self._process.kill_group()
            await self._process.wait()


def describe_status(status: int | None) -> str:
    """An exit status in words: ``exit code 3``, ``killed by SIGKILL``."""
    if status is None:
        return "its exit code is not known, since an agent before this one started it"
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _stop_words(supervision: Supervision) -> tuple[float, str]:
    return supervision.stop_timeout_s, signal.Signals(supervision.stop_signal).name


def _pids(pids: tuple[int, ...]) -> str:
    return "pid " + ", ".join(str(pid) for pid in pids)
