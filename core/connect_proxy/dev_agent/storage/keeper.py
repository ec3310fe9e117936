"""Writes the state to disk: before a write is answered, and soon after everything else that changes.

Group commit: what changes while a text is on its way to disk goes with the next one, together. Each write
gets its room on disk first (:meth:`Keeper.admit`), so a full disk refuses it before anything has changed.

The index is kept with some room above: what nobody wrote, such as a check that turns critical, then need
not be on disk before it is seen, and yet no index that was seen comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from connect_proxy.dev_agent.storage.kept import KeptAgent
from connect_proxy.dev_agent.storage.state_file import StateFile, StateText
from connect_proxy.errors import ApiError, DataDirectoryError

_ROOM: Final = 4096
"""How far above the last index the kept one is."""
_GROWTH: Final = 4
_OVERHEAD: Final = 16 * 1024
"""A write adds at most so many times its body, and so many bytes: a sidecar repeats its service's words."""
_RETRY_S: Final = 5.0
_log = logging.getLogger("connect_proxy.dev_agent")


class Keeper:
    """The disk behind ``Durability``. Belongs to one event loop."""

    lasting = True

    def __init__(self, file: StateFile, capture: Callable[[], KeptAgent]) -> None:
        self._file = file
        self._capture = capture
        self._text = StateText()
        self._written = ""
        self._ceiling = 0
        self._changed = 0
        self._kept = 0
        """Up to which count of changes all is on disk."""
        self._reserved = 0
        self._failure = ""
        self._stopping = False
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write the state as it is. Raises DataDirectoryError where that cannot be done."""
        await self._commit()
        self._task = asyncio.create_task(self._run(), name="state keeper")

    async def stop(self) -> None:
        """Write the last state, with the very index."""
        if self._task is None:
            return
        # Not cancelled: a thread may be writing, and a second one must not begin before it has ended.
        self._stopping = True
        self._wanted.set()
        await self._task
        try:
            await self._commit(room=0)
        except DataDirectoryError as exc:
            _log.error("the last changes are not kept: %s", exc)
        _end(self._waiting, self._failure)

    def touch(self) -> None:
        """Something has changed: write it soon."""
        self._changed += 1
        self._wanted.set()

    async def admit(self, size: int) -> None:
        """Before a write. Raises ApiError where the disk is full, or is still behind."""
        if self._failure:
            await self.settle()
        self._reserved += _GROWTH * size + _OVERHEAD
        try:
            self._file.reserve(len(self._written) + self._reserved)
        except DataDirectoryError as exc:
            self._reserved -= _GROWTH * size + _OVERHEAD
            raise _refused(str(exc)) from exc
        # Not every write touches an index: a check may be given another interval.
        self._changed += 1

    async def settle(self) -> None:
        """Until all changes so far are on disk. Raises ApiError where they are not."""
        wanted = self._changed
        while self._kept < wanted:
            kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(kept)
            self._wanted.set()
            await kept

    async def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S if self._failure else None):
                    await self._wanted.wait()
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._commit()
            except DataDirectoryError as exc:
                if not self._failure:
                    _log.error("changes are not kept: %s", exc)
                self._failure = str(exc)
            except Exception:
                _log.exception("changes are not kept")
                self._failure = "a defect of connect-proxy, see its log"
            _end(waiting, self._failure)

    async def _commit(self, room: int = _ROOM) -> None:
        """Put the state of this moment on disk, unless it is there. Raises DataDirectoryError."""
        changed, reserved = self._changed, self._reserved
        kept = self._capture()
        if not room or kept.index > self._ceiling - room // 2:
            self._ceiling = kept.index + room
        # In a thread, for requests not to wait for it: all that was captured is frozen.
        await asyncio.to_thread(self._write, replace(kept, index=self._ceiling))
        self._kept = changed
        self._reserved -= reserved
        if self._failure:
            _log.info("changes are kept again")
        self._failure = ""

    def _write(self, kept: KeptAgent) -> None:
        text = self._text.of(kept)
        if text != self._written:
            self._file.write(text)
            self._written = text


def _end(waiting: list[asyncio.Future[None]], failure: str) -> None:
    """Wake who waits; with an error where there is a *failure*."""
    for kept in waiting:
        if kept.done():
            continue
        if failure:
            kept.set_exception(_refused(failure))
        else:
            kept.set_result(None)


def _refused(reason: str) -> ApiError:
    return ApiError(500, f"the write is refused, it cannot be kept: {reason}")
