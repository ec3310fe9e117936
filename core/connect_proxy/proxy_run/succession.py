"""A new process of the same command line takes the listening sockets over, while the old one drains.

The old one starts the new one with its listening sockets as inherited descriptors and with the writing
end of a pipe; both are named in one variable. Both accept until the new one says on the pipe that it is
ready. If it ends or stays silent instead, the old one goes on as if nothing had been asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from connect_proxy.errors import ProxyControlError
from connect_proxy.plugin_api import Supervision
from connect_proxy.proxy_run.control_door import VARIABLE as CONTROL_SOCKET
from connect_proxy.proxy_run.inheritance import READY, VARIABLE

if TYPE_CHECKING:  # a proxy in this process needs none of it
    from connect_proxy.supervisor.supervisor import Supervisor

log = logging.getLogger("connect_proxy.run")

READY_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 1.0
NOT_FOR_THE_SUCCESSOR: Final = (VARIABLE, "WATCHDOG_PID")
"""The watchdog follows the main process, which will be another one."""


def obstacle(supervision: Supervision | None, environment: Mapping[str, str], *, busy: bool) -> str:
    """Why this process cannot be taken over now; empty if it can."""
    if supervision is None or supervision.listeners is None or supervision.hand_over is None:
        return "this backend cannot be taken over by a new process"
    if os.getpid() == 1:
        return "the end of process 1 would be the end of its container; it stays"
    if CONTROL_SOCKET in environment:
        return "the agent that started this process looks after it: restart it there"
    return "this process is being stopped or replaced already" if busy else ""


class SharedPorts:
    """The other way of being followed: the agent starts the new process beside this one, both listen on
    the same addresses, and SIGUSR2 tells this one that the new one is ready."""

    def __init__(self, supervision: Callable[[], Supervision | None]) -> None:
        self._supervision = supervision
        self.are_shared = False

    async def share(self, share: bool) -> Sequence[str]:
        """Share the addresses, or no more; which they are. Raises ProxyControlError."""
        supervision = self._supervision()
        if supervision is None or supervision.share_ports is None or supervision.hand_over is None:
            message = "this process cannot share its ports with a new one"
            raise ProxyControlError(message)
        addresses = await supervision.share_ports(share)
        self.are_shared = share
        return addresses

    async def make_way(self, child: Supervisor | None) -> None:
        """The process beside this one is ready: leave everything to it; *child* is ended then."""
        log.info("SIGUSR2: a new process serves beside this one: draining")
        if (supervision := self._supervision()) is not None:
            await leave(supervision)
        if child is not None:
            child.stop(now=True)


async def leave(supervision: Supervision) -> None:
    """Let go of what the new process has, and let connections finish."""
    if supervision.hand_over is not None:
        await supervision.hand_over(supervision.drain_timeout_s)


async def start_successor(
    supervision: Supervision, *, timeout_s: float = READY_TIMEOUT_S
) -> subprocess.Popen[bytes] | None:
    """A ready process of our own command line; None, and no process, if it does not get so far."""
    listeners = supervision.listeners() if supervision.listeners is not None else {}
    reading, writing = os.pipe()
    try:
        process = _spawn(listeners, writing)
    except OSError as exc:
        log.error("the new process could not be started: %s", exc)
        os.close(reading)
        return None
    finally:
        os.close(writing)
    said = b""
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                said = await _said(reading)
    except asyncio.CancelledError:  # this process is to stop: so is that one
        process.kill()
        raise
    if said == READY:
        return process
    with contextlib.suppress(subprocess.TimeoutExpired):  # it has closed the pipe: its end is near
        await asyncio.to_thread(process.wait, END_TIMEOUT_S)
    log.error("the new process %d did not get ready (exit code %s)", process.pid, process.poll())
    process.kill()
    await asyncio.to_thread(process.wait)
    return None


def _spawn(listeners: Mapping[str, int], writing: int) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_THE_SUCCESSOR}
    environment[VARIABLE] = json.dumps({"listeners": dict(listeners), "ready": writing})
    return subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        env=environment,
        pass_fds=(*listeners.values(), writing),
    )


async def _said(reading: int) -> bytes:
    """What comes before the end of the pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        return await reader.read()
    finally:
        transport.close()
