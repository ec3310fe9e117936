"""The index: one counter for every write, and who waits for which of them.

Consul's blocking queries compare an index per subject (one service, the roots, the intentions), so a
query on service ``a`` is not woken by a change of service ``b``. A *topic* names such a subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

Topic: TypeAlias = tuple[str, ...]

NODES: Topic = ("nodes",)
SERVICES: Topic = ("services",)
CHECKS: Topic = ("checks",)
INTENTIONS: Topic = ("intentions",)
QUERIES: Topic = ("queries",)
ROOTS: Topic = ("roots",)


def service_topic(name: str) -> Topic:
    """The instances of a service, and their checks."""
    return ("service", name)


def connect_topic(name: str) -> Topic:
    """What answers for a service in the mesh: its sidecars and native instances, and their checks."""
    return ("connect", name)


def leaf_topic(service: str) -> Topic:
    """The leaf certificate of a service."""
    return ("leaf", service)


def local_topic(service_id: str) -> Topic:
    """One registration at this agent (hash-blocking of ``/v1/agent/service/:id``)."""
    return ("local", service_id)


class Changes:
    """Counter and waiters. Belongs to one event loop; :meth:`bump` never blocks."""

    def __init__(self, *, start: int = 0) -> None:
        """*start*: the largest index of an agent before this one. Every subject counts as written by it
        or later, so whoever waits since then is answered once."""
        self.start = start
        self.on_write: Callable[[], None] = lambda: None
        """Called for every write."""
        self._latest = start
        self._index_of: dict[Topic, int] = {}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}
        self._closed = False

    @property
    def latest(self) -> int:
        """The index of the last write of all."""
        return self._latest

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def waiting(self) -> int:
        """How many calls of :meth:`wait` are asleep."""
        return len({future for futures in self._waiting.values() for future in futures})

    def bump(self, *topics: Topic) -> int:
        """Count one write that touched *topics*, wake their waiters, return its index."""
        self._latest += 1
        for topic in topics:
            self._index_of[topic] = self._latest
            self._wake(topic)
        self.on_write()
        return self._latest

    def index(self, *topics: Topic) -> int:
        """The index of the last write to any of *topics*; never 0, which would mean "do not block"."""
        return max(1, self.start, *(self._index_of.get(topic, 0) for topic in topics))

    async def wait(self, topics: Sequence[Topic], *, timeout: float) -> bool:
        """Sleep until one of *topics* is touched: True. False after *timeout* seconds or on close."""
        if self._closed or timeout <= 0:
            return False
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for topic in topics:
            self._waiting.setdefault(topic, set()).add(woken)
        try:
            async with asyncio.timeout(timeout):
                await woken
        except TimeoutError:
            return False
        finally:
            for topic in topics:
                self._forget(topic, woken)
        return not self._closed

    def close(self) -> None:
        """Wake everybody; nobody sleeps any more. For shutdown."""
        self._closed = True
        for topic in list(self._waiting):
            self._wake(topic)

    def _wake(self, topic: Topic) -> None:
        for woken in self._waiting.get(topic, ()):
            if not woken.done():
                woken.set_result(None)

    def _forget(self, topic: Topic, woken: asyncio.Future[None]) -> None:
        if (futures := self._waiting.get(topic)) is not None:
            futures.discard(woken)
            if not futures:
                del self._waiting[topic]
