"""The agent's control socket: one JSON object a line, each way, for the operator's commands.

``<data_dir>/control.sock``, mode 0600, in a folder that only its owner may enter. A request has
``verb`` and what belongs to it; an answer has ``data``, or ``error`` with ``exit_code``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import (
    AgentNotRunningError,
    ConfigurationError,
    ConnectProxyError,
    ControlError,
    UsageError,
)

log = logging.getLogger("connect_proxy.managed")

SOCKET_NAME: Final = "control.sock"
REQUEST_LIMIT: Final = 1 << 20
ANSWER_TIMEOUT_S: Final = 600.0
"""A rolling restart of many proxies takes its time."""
PATH_LIMIT: Final = 107
"""Bytes of a socket's path, sockaddr_un's 108 less the closing zero."""

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]


def socket_path(data_directory: Path) -> Path:
    """Where the agent of that data directory listens. Raises ConfigurationError for a path too long."""
    path = data_directory / SOCKET_NAME
    if len(os.fsencode(path)) > PATH_LIMIT:
        message = f"'{path}' is too long for a socket's path; give a shorter -data-dir"
        raise ConfigurationError(message)
    return path


class ControlServer:
    """Answers operators as long as it is open."""

    def __init__(self, path: Path, verbs: Mapping[str, Handler]) -> None:
        self._path = path
        self._verbs = verbs
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket left by an agent that died is replaced: the data directory's lock is ours."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._converse, sock=listener, limit=REQUEST_LIMIT)

    async def stop(self) -> None:
        """Close and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as exc:  # gone, or a line beyond the limit
            log.debug("control connection ended: %s", exc)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            verb = self._verbs.get(str(request.get("verb")))
            if verb is None:
                message = f"the agent does not know {request.get('verb')!r}; it is of another version"
                raise UsageError(message)
            return {"data": await verb(request)}
        except ConnectProxyError as exc:
            return {"error": str(exc), "exit_code": exc.exit_code}
        except (ValueError, AttributeError) as exc:
            return {"error": f"malformed request: {exc}", "exit_code": 2}
        except Exception as exc:
            log.exception("control request failed")
            return {"error": f"the agent failed: {type(exc).__name__}: {exc}", "exit_code": 1}


def ask(data_directory: Path, verb: str, **parts: Any) -> Any:
    """Ask the running agent. Raises AgentNotRunningError, or ControlError with the agent's own words."""
    path = socket_path(data_directory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            message = f"no agent runs on the data directory '{data_directory}'; start it, or give its own"
            raise AgentNotRunningError(message) from exc
        except PermissionError as exc:
            message = f"'{path}' may be used by its owner alone: run this as the agent's user"
            raise ControlError(message) from exc
        connection.sendall(json.dumps({"verb": verb, **parts}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        message = "the agent ended before it answered"
        raise ControlError(message)
    answer = json.loads(line)
    if "error" in answer:
        raise ControlError(answer["error"], exit_code=int(answer["exit_code"]))
    return answer["data"]
