"""Moves bytes between two connected sockets, either of which may be TLS, until both have ended."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress

CHUNK = 64 * 1024
IDLE_S = 300.0
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Direction:
    """Bytes on their way from one socket to the other: never more than one chunk."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.waiting = b""
        self.ended = False

    def move(self) -> bool:
        """Read and write what goes without waiting; whether anything moved."""
        moved = False
        if not self.waiting and not self.ended:
            with suppress(*_NOT_NOW):
                self.waiting = self.source.recv(CHUNK)
                moved = True
                if not self.waiting:
                    self.ended = True
                    _end_writing(self.target)
        if self.waiting:
            with suppress(*_NOT_NOW):
                sent = self.target.send(self.waiting)
                self.waiting = self.waiting[sent:]
                moved = True
        return moved


def relay(left: socket.socket, right: socket.socket) -> None:
    """Return when both directions have ended. An end of one is passed on, the other goes on."""
    for side in (left, right):
        side.setblocking(False)
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    directions = (_Direction(left, right), _Direction(right, left))
    while not all(direction.ended for direction in directions):
        if any([direction.move() for direction in directions]):
            continue
        readers = [one.source for one in directions if not one.waiting and not one.ended]
        writers = [one.target for one in directions if one.waiting]
        ready = select.select(readers, writers, [], IDLE_S)
        if not any(ready):
            return


def _end_writing(target: socket.socket) -> None:
    """Tell the peer that nothing more comes, while its own bytes may still arrive."""
    with suppress(OSError):
        if isinstance(target, ssl.SSLSocket):
            target.unwrap()
        else:
            target.shutdown(socket.SHUT_WR)
