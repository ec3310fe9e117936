"""Snapshots by hand instead of from Consul."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from connect_proxy.snapshot.snapshot import FeedStatus, ProxySnapshot


class ManualFeed:
    """A :class:`~connect_proxy.snapshot.snapshot.SnapshotFeed` of what :meth:`deliver` is given."""

    def __init__(self, first: ProxySnapshot | None = None) -> None:
        self._current = first
        self._changed = asyncio.Event()

    @property
    def current(self) -> ProxySnapshot | None:
        """The newest snapshot."""
        return self._current

    @property
    def status(self) -> FeedStatus:
        """Always fresh."""
        generation = self._current.generation if self._current else 0
        changed_at = datetime.now(UTC) if self._current else None
        return FeedStatus(generation=generation, changed_at=changed_at, stale_since=None)

    def deliver(self, snapshot: ProxySnapshot) -> None:
        """Make *snapshot* the current one and wake the subscribers."""
        self._current = snapshot
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        """The current one and every later one; a slow reader gets only the newest."""
        seen: ProxySnapshot | None = None
        while True:
            changed = self._changed
            if self._current is not None and self._current is not seen:
                seen = self._current
                yield seen
            else:
                await changed.wait()
