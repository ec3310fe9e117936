"""A process that somebody before us started: watched and signalled through a pidfd, never by polling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from connect_proxy.supervisor.identity import ProcessIdentity, end_session, open_again


class AdoptedProcess:
    """No child of ours, so its exit code is never known; otherwise like :class:`.process.ChildProcess`."""

    def __init__(self, identity: ProcessIdentity, descriptor: int) -> None:
        self.pid = identity.pid
        self._descriptor = descriptor

    def __repr__(self) -> str:
        return f"<AdoptedProcess {self.pid}>"

    async def wait(self) -> int | None:
        """None once it has ended."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # An event loop has one reader for a descriptor, but a process may have several who wait for it.
        own = os.dup(self._descriptor)
        loop.add_reader(own, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(own)
            os.close(own)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to this very process; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):  # it has ended: what the signal was to bring about
            signal.pidfd_send_signal(self._descriptor, number)

    def kill_group(self) -> None:
        """SIGKILL for it and for its session's first group, if it leads one."""
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                signal.pidfd_send_signal(self._descriptor, 0)  # still the one we mean
                os.killpg(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def end_session(self) -> tuple[int, ...]:
        """SIGKILL for what it left in its session, once it has ended; the pids."""
        return end_session(self.pid)

    def let_go(self) -> None:
        """Leave it running: nothing to forget."""

    def close(self) -> None:
        """Give the descriptor back. The process runs on."""
        os.close(self._descriptor)


def adopt(identity: ProcessIdentity) -> AdoptedProcess | None:
    """The process of that identity, if it still runs."""
    descriptor = open_again(identity)
    return None if descriptor is None else AdoptedProcess(identity, descriptor)
