"""Deadlines: a heap whose cancelled entries are thrown away when their time comes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

COMPACT_AT: Final = 512


class Timer:
    """One deadline. Cancelling costs nothing and lets go of the callback at once."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call back."""
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Timers:
    """All deadlines of one loop. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.heap: list[Timer] = []
        """The earliest first, cancelled ones among them. To be read where a call would cost too much."""
        self._compact_at = COMPACT_AT

    def __len__(self) -> int:
        return len(self.heap)

    def add(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* at *when* or soon after."""
        if len(self.heap) >= self._compact_at:
            self._compact()
        timer = Timer(when, callback)
        heapq.heappush(self.heap, timer)
        return timer

    def _compact(self) -> None:
        """Throw cancelled entries away once they may be the most: the heap stays bounded by the living."""
        self.heap[:] = [timer for timer in self.heap if timer.callback is not None]
        heapq.heapify(self.heap)
        self._compact_at = max(COMPACT_AT, 2 * len(self.heap))

    def pop(self, now: float) -> Callable[[], None] | None:
        """The callback of the earliest deadline that has come; None if there is none. Forgotten here."""
        while self.heap and (self.heap[0].callback is None or self.heap[0].when <= now):
            callback = heapq.heappop(self.heap).callback
            if callback is not None:
                return callback
        return None
