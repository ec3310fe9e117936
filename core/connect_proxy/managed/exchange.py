"""A new process of a proxy beside the one before it, until one of the two is left.

The old one serves until the new one is ready, then all new connections go to the new one and the old one
finishes what it has. A new one that does not get so far is tried again by its supervisor, and takes
nothing down.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from connect_proxy.errors import ControlError
from connect_proxy.managed.member import Member
from connect_proxy.managed.predecessor import Predecessor
from connect_proxy.managed.readiness import is_ready
from connect_proxy.managed.steering import Lead, newcomers_on
from connect_proxy.supervisor.control_socket import ask_at
from connect_proxy.supervisor.states import ENDED_STATES, State
from connect_proxy.supervisor.supervisor import describe_status

log = logging.getLogger("connect_proxy.managed")

READY_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.05
"""Between two questions whether the new one is ready, as long as somebody may wait for it."""
LATE_POLL_S: Final = 2.0
FREE_STARTS: Final = 3
"""So often it is tried before whoever waits is told that it does not come up."""
LISTENING_TIMEOUT_S: Final = 2.0
DOOR_TIMEOUT_S: Final = 5.0


class Exchange:
    """Of one member. Begins when the old process is out of its supervisor's hands."""

    def __init__(
        self,
        member: Member,
        predecessor: Predecessor,
        *,
        door: Path | None,
        save: Callable[[], None],
        start_again: Callable[[], None],
    ) -> None:
        """*start_again*: the old one is gone, and nobody tries to start the new one any more."""
        self.predecessor = predecessor
        self.is_handing_over = False
        self._member = member
        self._door = door
        self._save = save
        self._start_again = start_again
        loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[str] = loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._lead: Lead | None = None

    def begin(self) -> None:
        """The new one is about to start."""
        self._task = asyncio.get_running_loop().create_task(self._see_through())
        self._task.add_done_callback(self._settled)

    async def verdict(self) -> str:
        """Empty once the new one serves; else why it does not, so far."""
        return await asyncio.shield(self._verdict)

    async def over(self) -> None:
        """Until one of the two is left."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def abandon(self) -> None:
        """Look no further; both processes run on."""
        self._say("another change came before it was ready")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.newest_ended()

    def newest_ended(self) -> None:
        """Nobody is led to it any more."""
        if self._lead is not None:
            self._lead.end()

    async def _see_through(self) -> None:
        if await self._new_one_is_ready():
            await self._hand_over()
        self.newest_ended()
        self._member.exchange = None
        self._member.record = dataclasses.replace(self._member.record, predecessor=None)
        self._save()
        supervisor = self._member.supervisor
        if not self.is_handing_over and supervisor is not None and supervisor.state in ENDED_STATES:
            self._start_again()
        self._say("")
        await self._stop_sharing()

    async def _new_one_is_ready(self) -> bool:
        """False once the old one has ended by itself."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_TIMEOUT_S
        ended = self.predecessor.ended
        while not ended.is_set():
            late = loop.time() >= deadline
            problem = self._problem()
            if not problem and await is_ready(self._member, self._door):
                return True
            if problem or late:
                self._tell(problem or f"not ready after {READY_TIMEOUT_S:g} s", final=late)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LATE_POLL_S if late else POLL_S):
                    await ended.wait()
        return False

    def _problem(self) -> str:
        """What keeps the new one from running at all, at this moment."""
        supervisor, task = self._member.supervisor, self._member.task
        if supervisor is None or supervisor.state not in {*ENDED_STATES, State.BACKOFF}:
            return ""
        if supervisor.last_status is not None:
            return describe_status(supervisor.last_status)
        return self._member.start_error if task is not None and task.done() else ""

    def _tell(self, problem: str, *, final: bool) -> None:
        text = (
            f"the new process does not come up: {problem}; pid {self.predecessor.pid}, the one before it, "
            "goes on serving"
        )
        if self._member.record.last_error != text:
            log.error("%s: %s", self._member.record.id, text)
            self._note_error(text)
        supervisor = self._member.supervisor
        gave_up = supervisor is not None and supervisor.state in ENDED_STATES
        if final or gave_up or (supervisor is not None and supervisor.restarts >= FREE_STARTS):
            self._say(text)

    def _note_error(self, text: str) -> None:
        self._member.record = dataclasses.replace(self._member.record, last_error=text)
        self._save()

    def _say(self, verdict: str) -> None:
        if not self._verdict.done():
            self._verdict.set_result(verdict)

    async def _hand_over(self) -> None:
        before = self.predecessor.record.addresses
        with contextlib.suppress(TimeoutError):
            # What the new one does not listen on any more leaves with the old one.
            async with asyncio.timeout(LISTENING_TIMEOUT_S):
                while not _both_listen(before):  # noqa: ASYNC110  (the kernel sets no events)
                    await asyncio.sleep(POLL_S)
        self._lead = Lead(before)
        self.is_handing_over = True
        self._note_error("")
        log.info("%s: ready; pid %d leaves", self._member.record.id, self.predecessor.pid)
        self._say("")
        await self.predecessor.hand_over()

    async def _stop_sharing(self) -> None:
        """From now on a second one on its ports is a clash again."""
        if self.predecessor.record.shares_ports and self._door is not None:
            try:
                await ask_at(self._door, "share-ports", timeout_s=DOOR_TIMEOUT_S, share=False)
            except ControlError as exc:
                log.debug("%s: it shares its ports on: %s", self._member.record.id, exc)

    def _settled(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s: its exchange failed", self._member.record.id, exc_info=error)
            self._say(f"its exchange failed: {error}")


def _both_listen(before: Mapping[str, int]) -> bool:
    """Whether more listen on every address than were there before."""
    return all(newcomers_on(address, count) for address, count in before.items())
