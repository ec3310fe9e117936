"""One newest value for many readers: each gets it and later ones; a slow one misses what is between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Broadcast(Generic[T]):
    """Holds the newest value. For one event loop."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._version = 0
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def newest(self) -> T | None:
        """The last published value, None before the first."""
        return self._value

    def publish(self, value: T) -> None:
        """Make *value* the newest and wake every reader."""
        self._value = value
        self._version += 1
        self._wake()

    def end(self) -> None:
        """No more values: readers end once they have seen the newest."""
        self._ended = True
        self._wake()

    def subscribe(self) -> AsyncIterator[T]:
        """The newest value, if there is one, and later ones."""
        return _Reader(self)

    async def newer_than(self, version: int) -> tuple[T, int]:
        """The newest value and its version, once that is above *version*.

        Raises StopAsyncIteration when there will be none.
        """
        while self._version == version:
            if self._ended:
                raise StopAsyncIteration
            await self._changed.wait()
        assert self._value is not None
        return self._value, self._version

    def _wake(self) -> None:
        # A fresh event for the next change: who waits on the old one is woken exactly once.
        self._changed.set()
        self._changed = asyncio.Event()


class _Reader(AsyncIterator[T]):
    def __init__(self, source: Broadcast[T]) -> None:
        self._source = source
        self._seen = 0

    async def __anext__(self) -> T:
        value, self._seen = await self._source.newer_than(self._seen)
        return value
