"""A control socket: one JSON object a line, each way, on a unix socket of mode 0600.

A request has ``verb`` and what belongs to it; an answer has ``data``, or ``error`` with ``exit_code``.
The agent of managed proxies has one for its operators, each proxy one for the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import ConnectProxyError, ControlError, UsageError

log = logging.getLogger("connect_proxy.control")

REQUEST_LIMIT: Final = 1 << 20
PATH_LIMIT: Final = 107
"""Bytes of a socket's path, sockaddr_un's 108 less the closing zero."""

STOP_TIMEOUT_S: Final = 1.0

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


def fits(path: Path) -> bool:
    """Whether *path* can be a socket's as it stands."""
    return len(os.fsencode(path)) <= PATH_LIMIT


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A name of the socket at *path* that fits, for as long as the block runs: by its folder's descriptor
    where the path is too long and the system has ``/proc``. Raises OSError."""
    if fits(path) or not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ControlServer:
    """Answers operators as long as it is open."""

    def __init__(self, path: Path, verbs: Mapping[str, Handler]) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)
        self._conversations: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen. A socket left by an agent that died is replaced: the data directory's lock is ours."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            with short(self._path) as name:
                listener.bind(name)
            self._inode = _inode(self._path)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._converse, sock=listener, limit=REQUEST_LIMIT)

    async def stop(self) -> None:
        """Close and remove the socket; answers under way are still given, unless they take long. Who has
        taken the path meanwhile, a successor of this process, keeps it."""
        if self._server is None:
            return
        self._server.close()
        if _inode(self._path) == self._inode:
            self._path.unlink(missing_ok=True)
        for task, writer in self._conversations.items():
            if task is not asyncio.current_task():
                writer.close()
        if others := self._conversations.keys() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=STOP_TIMEOUT_S)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations[task] = writer
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as exc:  # gone, or a line beyond the limit
            log.debug("control connection ended: %s", exc)
        except asyncio.CancelledError:
            # The event loop ends. asyncio asks a connection's task for its exception, and fails at one
            # that was cancelled (CPython 3.11): a traceback for nothing.
            log.debug("control connection cancelled")
        finally:
            writer.close()
            del self._conversations[task]

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            verb = self._verbs.get(str(request.get("verb")))
            if verb is None:
                message = f"it does not know {request.get('verb')!r}; it is of another version"
                raise UsageError(message)
            return {"data": await verb(request)}
        except ConnectProxyError as exc:
            return {"error": str(exc), "exit_code": exc.exit_code}
        except (ValueError, AttributeError) as exc:
            return {"error": f"malformed request: {exc}", "exit_code": 2}
        except Exception as exc:
            log.exception("control request failed")
            return {"error": f"the agent failed: {type(exc).__name__}: {exc}", "exit_code": 1}


def _inode(path: Path) -> tuple[int, int]:
    """Which file it is; (0, 0) for none."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


def request_line(verb: str, **parts: Any) -> bytes:
    """A request as it stands on the wire."""
    return json.dumps({"verb": verb, **parts}).encode() + b"\n"


def answered(line: bytes) -> Any:
    """The data of an answer. Raises ControlError with the other side's own words and exit code."""
    if not line:
        message = "the connection ended before the answer"
        raise ControlError(message)
    answer = json.loads(line)
    if "error" in answer:
        raise ControlError(answer["error"], exit_code=int(answer["exit_code"]))
    return answer["data"]


def is_closed(error: ControlError) -> bool:
    """Whether nobody listens there: not yet, or not any more."""
    return isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)


async def listener_at(path: Path) -> int:
    """The pid of the process that listens on *path*. Raises ControlError."""
    try:
        with short(path) as name:
            _, writer = await asyncio.open_unix_connection(name)
    except OSError as exc:
        message = f"the control socket '{path}' does not answer: {exc}"
        raise ControlError(message) from exc
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    writer.close()
    return int(struct.unpack("3i", credentials)[0])


async def ask_at(path: Path, verb: str, *, timeout_s: float, **parts: Any) -> Any:
    """Ask who listens on *path*. Raises ControlError, also where nobody answers in time."""
    try:
        async with asyncio.timeout(timeout_s):
            with short(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=REQUEST_LIMIT)
            try:
                writer.write(request_line(verb, **parts))
                await writer.drain()
                return answered(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as exc:
        message = f"the control socket '{path}' does not answer: {str(exc) or 'no answer in time'}"
        raise ControlError(message) from exc
