"""The process that served before, as long as it stands beside the new one."""

from __future__ import annotations

import asyncio
import logging
import signal

from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.ending import STOP_TIMEOUT_S
from connect_proxy.managed.state_file import PredecessorRecord
from connect_proxy.supervisor.adopted import AdoptedProcess, adopt
from connect_proxy.supervisor.supervisor import Process

log = logging.getLogger("connect_proxy.managed")


class Predecessor:
    """Watched until it ends; nobody starts it again."""

    def __init__(
        self, record: PredecessorRecord, process: Process, assignment: Assignment | None = None
    ) -> None:
        """*assignment*: what it was started with; None if an agent before this one knew."""
        self.record = record
        self.assignment = assignment
        self._process = process
        self.ended = asyncio.Event()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    @property
    def pid(self) -> int:
        return self._process.pid

    def holds(self, process: Process | None) -> bool:
        """Whether that is its process: then nobody else is to close it."""
        return process is self._process

    async def _watch(self) -> None:
        await self._process.wait()
        self._process.end_session()
        self.ended.set()
        self._close()

    async def hand_over(self) -> None:
        """The new one serves: let it finish what it has, and come back once it is gone."""
        await self._end(signal.SIGUSR2 if self.record.shares_ports else signal.SIGTERM)

    async def end(self) -> None:
        """Stop it, as any proxy is stopped."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> None:
        if self.ended.is_set():
            return
        self._process.signal(number)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.ended.wait()
        except TimeoutError:
            log.warning("pid %d is still there after %g s, killing it", self.pid, STOP_TIMEOUT_S)
            self._process.kill_group()
            await self.ended.wait()

    async def let_go(self) -> None:
        """The agent ends and it runs on."""
        if self.ended.is_set():
            return
        self._watching.cancel()
        await asyncio.wait({self._watching})
        self._process.let_go()
        self._close()

    def _close(self) -> None:
        if isinstance(self._process, AdoptedProcess):
            self._process.close()


def found_beside(record: PredecessorRecord | None) -> Predecessor | None:
    """The very process of *record*, left by an agent before, if it still runs."""
    process = adopt(record.process) if record else None
    return Predecessor(record, process) if record and process else None
