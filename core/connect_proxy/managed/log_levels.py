"""What managed proxies are to log at: those that run are told until they have heard it.

A start takes the level along. In between, from the start of a process until its control socket is open,
nobody can be told: an order that falls there is carried out as soon as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from connect_proxy.errors import ControlError, UnknownProxyError
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.state_file import ProxyRecord, Records
from connect_proxy.supervisor.control_socket import ask_at, is_closed, listener_at

log = logging.getLogger("connect_proxy.managed")

ORDER_TIMEOUT_S: Final = 10.0
"""For an order to one proxy that somebody waits for: a busy host is no reason to refuse it."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Between two looks whether a proxy that starts has opened its control socket."""


class LogLevels:
    """Of one agent's proxies. A command's own logs are its own affair."""

    def __init__(self, fleet: Fleet, *, keep: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """*keep* looks after what goes on behind an answer."""
        self._fleet = fleet
        self._keep = keep
        self._under_way: set[tuple[str, int]] = set()
        """Proxies that are told as soon as they can be, each with its process."""

    async def order(self, proxy_id: str, level: str) -> str:
        """An operator's; empty for the configured level. What came of it, in words. Raises ControlError."""
        assignment = self._fleet.known(proxy_id).assignment
        if assignment.proxy.command:
            message = f"'{proxy_id}' runs a command of its own, whose log level is its own affair"
            raise ControlError(message)
        self._fleet.order_log_level(proxy_id, level)
        chosen = self._level_of(proxy_id)
        pid = self._pid(proxy_id)
        if not pid:
            return f"{proxy_id}: {chosen} from its next start"
        try:
            if await self._tell(proxy_id, pid):
                return f"{proxy_id}: {chosen}"
        except ControlError as exc:
            if self._pid(proxy_id) == pid:
                message = f"'{proxy_id}' logs at {chosen} from its next start only: {exc}"
                raise ControlError(message) from exc
        self.tell_later([proxy_id])
        return f"{proxy_id}: {chosen} as soon as it is up"

    async def follow(self) -> None:
        """The configured level is another one: all orders are forgotten, and who runs is told."""
        names = list(self._fleet.members)
        for proxy_id in names:
            self._fleet.order_log_level(proxy_id, "")
        await asyncio.gather(*(self._tell_or_warn(proxy_id) for proxy_id in names))

    def tell_later(self, proxy_ids: Iterable[str]) -> None:
        """Those that run are told as soon as they listen."""
        for proxy_id in proxy_ids:
            pid = self._pid(proxy_id)
            if pid and (proxy_id, pid) not in self._under_way:
                self._under_way.add((proxy_id, pid))
                self._keep(self._until_told(proxy_id, pid))

    def tell_adopted(self, left: Records) -> None:
        """Those of *left*, which an agent before us started, that were found again: they have that one's
        level, or miss an order to it."""
        self.tell_later(name for name, record in left.items() if self._is_found_again(record))

    def _is_found_again(self, record: ProxyRecord) -> bool:
        member = self._fleet.members.get(record.id)
        return member is not None and record.process is not None and member.record.process == record.process

    async def _tell_or_warn(self, proxy_id: str) -> None:
        pid = self._pid(proxy_id)
        try:
            if pid and not await self._tell(proxy_id, pid):
                self.tell_later([proxy_id])
        except ControlError as exc:
            log.warning("%s logs at another level from its next start only: %s", proxy_id, exc)

    async def _until_told(self, proxy_id: str, pid: int) -> None:
        """While that process runs: one that takes its place is started with the level."""
        pause = FIRST_PAUSE_S
        try:
            while self._pid(proxy_id) == pid and not await self._tell(proxy_id, pid):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        except ControlError as exc:
            log.warning("%s logs at another level from its next start only: %s", proxy_id, exc)
        finally:
            self._under_way.discard((proxy_id, pid))

    async def _tell(self, proxy_id: str, pid: int) -> bool:
        """Whether process *pid* has taken the newest level. Raises ControlError where it answers, but not
        as it should; False where it does not listen yet."""
        told = None
        while self._pid(proxy_id) == pid and told != (level := self._level_of(proxy_id)):
            door = self._fleet.door(proxy_id)
            if door is None:
                return False
            try:
                listener = await listener_at(door)
                await ask_at(door, "set-log-level", timeout_s=ORDER_TIMEOUT_S, level=level)
            except ControlError as exc:
                if is_closed(exc):
                    return False
                raise
            if listener != pid:
                return False  # the process before it, which still listens there
            told = level
        return told is not None

    def _level_of(self, proxy_id: str) -> str:
        member = self._fleet.known(proxy_id)
        return member.record.log_level or member.assignment.log_level

    def _pid(self, proxy_id: str) -> int:
        """Of its process, if that has a control socket or will open one; else 0."""
        try:
            has_door = self._fleet.door(proxy_id) is not None
            supervisor = self._fleet.known(proxy_id).supervisor
        except UnknownProxyError:
            return 0
        return (supervisor.pid or 0) if has_door and supervisor else 0
