"""What operators ask of a running agent: the verbs of its control socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import ConnectProxyError, ControlError, DataDirectoryError, UsageError
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.log_levels import LogLevels
from connect_proxy.managed.member import Member, status_rows
from connect_proxy.managed.readiness import accepts
from connect_proxy.settings.fields import LOG_LEVELS
from connect_proxy.supervisor.control_socket import Handler, ask_at

log = logging.getLogger("connect_proxy.managed")

DEFAULT: Final = "DEFAULT"
"""As a level: what the files or the agent's command line say."""
DOOR_TIMEOUT_S: Final = 2.0
"""For a proxy's own control socket: one that hangs must not keep ``status`` of all others."""
ROLLING_WAIT_S: Final = 30.0
ROLLING_POLL_S: Final = 0.05


class Operations:
    """The verbs, each a request to an answer."""

    def __init__(
        self,
        fleet: Fleet,
        levels: LogLevels,
        *,
        reload: Callable[[bool], Awaitable[list[str]]],
        files: Callable[[], tuple[str, ...]],
        before_start: Callable[[Sequence[str]], Awaitable[object]],
    ) -> None:
        """*reload*: read the files again and apply them (or, told True, only say what would be).
        *before_start*: what the named proxies need for a start is to be looked after."""
        self._fleet = fleet
        self._levels = levels
        self._reload = reload
        self._files = files
        self._before_start = before_start

    def verbs(self) -> Mapping[str, Handler]:
        """By the name that requests use."""
        return {
            "status": self._status,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "reload": self._answer_reload,
            "set-log-level": self._set_log_level,
        }

    async def _status(self, _request: Mapping[str, Any]) -> Any:
        members = dict(self._fleet.members)  # as they are now: some may come and go while they are asked
        doors = [self._fleet.door(name) for name in members]
        seen = await asyncio.gather(*(self._seen_from_inside(door) for door in doors))
        expiries = {
            name: inside.get("certificate_expiry") for name, inside in zip(members, seen, strict=True)
        }
        return {
            "agent": {"pid": os.getpid(), "files": self._files()},
            "proxies": status_rows(members, now=time.time(), expiries=expiries),
        }

    async def _start(self, request: Mapping[str, Any]) -> Any:
        async def start(proxy_id: str) -> None:
            await self._before_start([proxy_id])
            self._fleet.start(proxy_id)

        return await self._each(request, start)

    async def _stop(self, request: Mapping[str, Any]) -> Any:
        chosen = self._chosen(request)

        async def stop(proxy_id: str) -> str:
            try:
                await self._fleet.stop(proxy_id)
            except DataDirectoryError as exc:
                return str(exc)
            return ""

        said = await asyncio.gather(*map(stop, chosen))
        return {"done": chosen, "problems": [problem for problem in said if problem]}

    async def _restart(self, request: Mapping[str, Any]) -> Any:
        """One after the other, the next once the one before accepts connections again."""

        async def restart(proxy_id: str) -> None:
            await self._before_start([proxy_id])
            await self._fleet.restart(proxy_id)
            if request.get("all"):
                await _accepting(self._fleet.known(proxy_id))

        return await self._each(request, restart)

    async def _each(
        self, request: Mapping[str, Any], act: Callable[[str], Awaitable[str | None]]
    ) -> Mapping[str, list[str]]:
        """What was done, and to which it could not be done. One proxy's error is raised where it is the
        only one that was named. *act* may answer with more words than the id."""
        done: list[str] = []
        problems: list[str] = []
        for proxy_id in self._chosen(request):
            try:
                done.append(await act(proxy_id) or proxy_id)
            except ConnectProxyError as exc:
                if not request.get("all"):
                    raise
                problems.append(str(exc))
        return {"done": done, "problems": problems}

    async def _answer_reload(self, request: Mapping[str, Any]) -> Any:
        return await self._reload(bool(request.get("dry_run")))

    async def _set_log_level(self, request: Mapping[str, Any]) -> Any:
        """Now, and at every start until another order or a changed ``log_level``; ``default``: as the
        files have it."""
        level = str(request.get("level", "")).upper()
        if level not in (*LOG_LEVELS, DEFAULT):
            message = f'"{level}" is no log level; use one of {", ".join(LOG_LEVELS)}, default'
            raise UsageError(message)

        async def order(proxy_id: str) -> str:
            return await self._levels.order(proxy_id, "" if level == DEFAULT else level)

        return await self._each(request, order)

    async def _seen_from_inside(self, door: Path | None) -> Mapping[str, Any]:
        """What the proxy says of itself; nothing where it has no control socket."""
        if door is None:
            return {}
        try:
            inside: Mapping[str, Any] = await ask_at(door, "status", timeout_s=DOOR_TIMEOUT_S)
        except ControlError:
            return {}
        return inside

    def _chosen(self, request: Mapping[str, Any]) -> list[str]:
        """Ids. Raises UnknownProxyError."""
        if request.get("all"):
            return sorted(self._fleet.members)
        return [self._fleet.known(str(request.get("id", ""))).record.id]


async def _accepting(member: Member) -> None:
    """Until its public listener accepts, or the time for it is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ROLLING_WAIT_S):
            while not await accepts(member.assignment):  # noqa: ASYNC110  (it sets no events)
                await asyncio.sleep(ROLLING_POLL_S)
