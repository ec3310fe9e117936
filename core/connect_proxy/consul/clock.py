"""Time as a value that is handed in: the machine's in the program, a manual one in tests."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What waiting code needs to know and to do."""

    def now(self) -> datetime:
        """The wall clock, UTC: what certificates' dates are compared with."""

    def monotonic(self) -> float:
        """Seconds that only grow: what waiting is measured by."""

    def random(self) -> float:
        """A number from 0 up to 1, for jitter."""

    async def sleep(self, seconds: float) -> None:
        """Come back after *seconds*."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def random(self) -> float:
        return random.SystemRandom().random()

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)
