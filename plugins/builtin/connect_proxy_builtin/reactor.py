"""The loop of one worker: readiness, deadlines, buffers that all its connections share.

Sockets are closed only when a batch of events is through. So a descriptor cannot be taken by a new
connection while an event of the old one is still to come in the same batch.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic
from typing import Final

from connect_proxy_builtin.poller import Poller, new_poller
from connect_proxy_builtin.scratch_memory import scratch_memory
from connect_proxy_builtin.timers import Timer, Timers
from connect_proxy_builtin.tls.channel import CHUNK, RECORD

Handler = Callable[[int], None]

FOR_EVER: Final = -1


class Reactor:
    """Not thread-safe: one thread drives it."""

    def __init__(self, crashed: Callable[[object, Exception], None], poller: Poller | None = None) -> None:
        """*crashed* is told which callback raised what: a defect may cost one connection, not all."""
        self._crashed = crashed
        self.poller = poller or new_poller()
        self.now = monotonic()
        self.wire = scratch_memory(CHUNK)
        """What came from a socket. Valid only within one handler."""
        self.clear = scratch_memory(CHUNK + 2 * RECORD)
        """What was decrypted: a whole chunk, and the rest of a record that began before it."""
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}
        self._timers = Timers()
        self._graveyard: list[socket.socket] = []

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Call *handler* with the events of *fd*."""
        self._handlers[fd] = handler
        self._masks[fd] = mask
        self.poller.register(fd, mask)

    def rewatch(self, fd: int, mask: int, handler: Handler) -> None:
        """Other events and another handler for a watched *fd*."""
        self._handlers[fd] = handler
        self.want(fd, mask)

    def want(self, fd: int, mask: int) -> None:
        """Other events of a watched *fd*. The same ones again cost nothing."""
        if self._masks[fd] != mask:
            self._masks[fd] = mask
            self.poller.modify(fd, mask)

    def hand_to(self, fd: int, handler: Handler) -> None:
        """Another handler for a watched *fd*."""
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """No more events of *fd*."""
        if self._handlers.pop(fd, None) is not None:
            del self._masks[fd]
            self.poller.unregister(fd)

    def dispose(self, sock: socket.socket) -> None:
        """Unwatch, and close after this batch."""
        self.unwatch(sock.fileno())
        self._graveyard.append(sock)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back in *delay* seconds unless cancelled."""
        return self._timers.add(self.now + delay, callback)

    def step(self) -> None:
        """Wait for events and handle one batch."""
        deadlines = self._timers.heap
        # A cancelled deadline may wake us once in vain, which is cheaper than to look for it each time.
        delay: float = FOR_EVER
        if deadlines and (delay := deadlines[0].when - monotonic()) < 0:
            delay = 0
        events = self.poller.poll(delay)
        self.now = monotonic()
        handlers = self._handlers
        for fd, mask in events:
            if fd in handlers:
                handler = handlers[fd]
                try:
                    handler(mask)
                except Exception as exc:
                    self._crashed(handler, exc)
        if deadlines and deadlines[0].when <= self.now:
            self._call_due()
        if self._graveyard:
            self._bury()

    def _call_due(self) -> None:
        while (callback := self._timers.pop(self.now)) is not None:
            try:
                callback()
            except Exception as exc:
                self._crashed(callback, exc)

    def _bury(self) -> None:
        dead, self._graveyard = self._graveyard, []
        for sock in dead:
            sock.close()

    def close(self) -> None:
        """Give everything back that is still held."""
        self._bury()
        self._handlers.clear()
        self._masks.clear()
        self.poller.close()
