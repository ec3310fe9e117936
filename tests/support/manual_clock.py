"""A clock that a test moves: sleeping takes no time, it only moves the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at noon of a fixed day. ``slept`` holds what was asked for, in order."""

    def __init__(self, *, randoms: float = 0.0) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []
        self._randoms = randoms

    def now(self) -> datetime:
        return datetime(2030, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def random(self) -> float:
        return self._randoms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed += seconds
        await asyncio.sleep(0)
