"""Which descriptors are ready: epoll on Linux, ``selectors`` elsewhere."""

from __future__ import annotations

import select
import selectors
import sys
from typing import Final, Protocol

IN: Final = 0x001
OUT: Final = 0x004
ERR: Final = 0x008
HUP: Final = 0x010
EXCLUSIVE: Final = 1 << 28
"""EPOLLEXCLUSIVE: of several workers that wait for one listener, few are woken."""


class Poller(Protocol):
    """Level-triggered readiness. ``poll`` takes seconds; None or negative waits for ever."""

    def register(self, fd: int, eventmask: int) -> None:
        """Watch *fd*."""

    def modify(self, fd: int, eventmask: int) -> None:
        """Watch for something else; 0 keeps it known, for errors and hang-ups only."""

    def unregister(self, fd: int) -> None:
        """Forget *fd*."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """What is ready."""

    def close(self) -> None:
        """Give the descriptor back."""


class SelectorPoller:
    """Over :mod:`selectors` (kqueue on macOS). Hang-ups show as readable: the read tells more."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._idle: set[int] = set()

    def register(self, fd: int, eventmask: int) -> None:
        """Watch *fd*."""
        events = _events(eventmask)
        if events:
            self._selector.register(fd, events)
        else:
            self._idle.add(fd)

    def modify(self, fd: int, eventmask: int) -> None:
        """Watch for something else."""
        self.unregister(fd)
        self.register(fd, eventmask)

    def unregister(self, fd: int) -> None:
        """Forget *fd*."""
        if fd in self._idle:
            self._idle.discard(fd)
        else:
            self._selector.unregister(fd)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """What is ready."""
        ready = self._selector.select(None if timeout is None or timeout < 0 else timeout)
        return [(key.fd, _mask(events)) for key, events in ready]

    def close(self) -> None:
        """Give the descriptor back."""
        self._selector.close()


def _events(mask: int) -> int:
    return (selectors.EVENT_READ if mask & IN else 0) | (selectors.EVENT_WRITE if mask & OUT else 0)


def _mask(events: int) -> int:
    return (IN if events & selectors.EVENT_READ else 0) | (OUT if events & selectors.EVENT_WRITE else 0)


def new_poller() -> Poller:
    """The best one of this machine."""
    if sys.platform == "linux":
        return select.epoll()
    return SelectorPoller()
