"""Accepting on one listening socket, within a worker."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from connect_proxy_builtin.binding import BACKLOG
from connect_proxy_builtin.messages import Say
from connect_proxy_builtin.poller import EXCLUSIVE, IN
from connect_proxy_builtin.timers import Timer
from connect_proxy_builtin.worker_state import WorkerState

BATCH: Final = 64
"""Connections taken at one event: the running ones get their turn in between."""
PAUSE_S: Final = 0.1
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Hands every accepted socket, non-blocking, to *serve*. Pauses when descriptors run out."""

    def __init__(
        self,
        world: WorkerState,
        sock: socket.socket,
        serve: Callable[[socket.socket], None],
        *,
        shared: bool,
    ) -> None:
        self._world, self._sock, self._serve = world, sock, serve
        self._mask = IN | EXCLUSIVE if shared else IN
        self._pause: Timer | None = None
        sock.setblocking(False)
        world.reactor.watch(sock.fileno(), self._mask, self._on_waiting)

    def _on_waiting(self, _mask: int) -> None:
        self._accept(BATCH)

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, _address = self._sock.accept()
            except (InterruptedError, ConnectionAbortedError):
                continue
            except BlockingIOError:
                return
            except OSError as exc:
                self._trouble(exc)
                return
            sock.setblocking(False)
            self._serve(sock)

    def _trouble(self, exc: OSError) -> None:
        """Out of descriptors or memory: wait for some to come back. Level-triggered events would spin."""
        if exc.errno not in EXHAUSTED:
            # Such as EPERM from a firewall or a network error of the new connection (accept(2)).
            text = f"a connection could not be accepted: {exc.strerror}"
            self._world.tell(Say(level=logging.WARNING, text=text, kind="accept"))
            return
        self._world.counters["accept_pauses"] += 1
        text = f"accepting pauses: {exc.strerror}; raise the limit of open files (ulimit -n)"
        self._world.tell(Say(level=logging.ERROR, text=text, kind="accept pauses"))
        self._world.reactor.unwatch(self._sock.fileno())
        self._pause = self._world.reactor.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._world.reactor.watch(self._sock.fileno(), self._mask, self._on_waiting)

    def close(self) -> None:
        """Serve who waits already, then no more."""
        if self._pause is None:
            self._accept(BACKLOG)  # as many as can wait: the kernel resets who is left
        if self._pause is not None:
            self._pause.cancel()
        self._world.reactor.dispose(self._sock)
