"""A running proxy's own control socket: what the agent that started it asks and tells it.

It is opened where ``CONNECT_PROXY_CONTROL_SOCKET`` names a path, mode 0600, and answers ``status``,
``set-log-level``, ``reopen-logs`` and ``share-ports``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import ProxyControlError
from connect_proxy.proxy_run.log_reopening import reopen
from connect_proxy.supervisor.control_socket import ControlServer, Handler

log = logging.getLogger("connect_proxy.run")

VARIABLE: Final = "CONNECT_PROXY_CONTROL_SOCKET"


@contextlib.asynccontextmanager
async def control_door(
    environment: Mapping[str, str],
    *,
    state: Callable[[], Awaitable[Mapping[str, Any]]],
    set_log_level: Callable[[str], Awaitable[None]],
    share_ports: Callable[[bool], Awaitable[Sequence[str]]],
    writes_its_own_logs: bool = True,
) -> AsyncIterator[None]:
    """Open as long as the block runs; nothing where the variable is not set.

    *writes_its_own_logs*: False where a child does, whose output cannot be exchanged from outside. A
    socket that cannot be opened is logged: what carries traffic does not depend on who asks it.
    """
    path = Path(environment.get(VARIABLE, ""))
    if not path.name:
        yield
        return

    verbs = _verbs(state, set_log_level, share_ports, writes_its_own_logs=writes_its_own_logs)
    server = ControlServer(path, verbs)
    try:
        await server.start()
    except OSError as exc:
        log.warning("no control socket at '%s': %s", path, exc.strerror or exc)
    try:
        yield
    finally:
        await server.stop()


def _verbs(
    state: Callable[[], Awaitable[Mapping[str, Any]]],
    set_log_level: Callable[[str], Awaitable[None]],
    share_ports: Callable[[bool], Awaitable[Sequence[str]]],
    *,
    writes_its_own_logs: bool,
) -> Mapping[str, Handler]:
    async def answer_status(_request: Mapping[str, Any]) -> Any:
        return await state()

    async def answer_level(request: Mapping[str, Any]) -> Any:
        level = str(request.get("level", ""))
        await set_log_level(level)
        return level

    async def answer_reopening(request: Mapping[str, Any]) -> Any:
        if not writes_its_own_logs:
            message = "a program of its own writes these logs: they cannot be reopened"
            raise ProxyControlError(message)
        if not request.get("only_asked"):
            reopen(request)

    async def answer_sharing(request: Mapping[str, Any]) -> Any:
        return list(await share_ports(request.get("share") is not False))

    return {
        "status": answer_status,
        "set-log-level": answer_level,
        "reopen-logs": answer_reopening,
        "share-ports": answer_sharing,
    }
