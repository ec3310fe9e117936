"""TLS sessions and their records on :mod:`ssl`, for the data plane: the engine that every Python has."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from connect_proxy_builtin.tls.channel import RECORD, SLICE, TlsChannel


class StandardSession(ssl.SSLObject):
    """What :class:`.tls_channel.Session` asks for. Contexts make it (``sslobject_class``)."""

    def step(self) -> bool:
        """One step of the handshake; whether it is done. Raises ssl.SSLError."""
        try:
            self.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def end(self) -> None:
        """Say that nothing more comes from here. Raises ssl.SSLError."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            self.unwrap()


class StandardRecords:
    """Of one connection."""

    __slots__ = ("_clear", "_incoming", "_outgoing", "_session", "_wire", "ended")

    def __init__(self, channel: TlsChannel, wire: memoryview, clear: memoryview) -> None:
        assert isinstance(channel.session, StandardSession)
        self._wire, self._clear = wire, clear
        self._session, self._incoming, self._outgoing = channel.session, channel.incoming, channel.outgoing
        self.ended = False

    def seal(self, start: int, stop: int) -> bytes | memoryview:
        """Encrypt these bytes of ``wire``."""
        self._session.write(self._wire[start:stop])
        return self._outgoing.read()

    def open(self, count: int) -> int:
        """Decrypt *count* bytes of ``wire``, and what was there before, into ``clear``."""
        wire, clear, incoming, read = self._wire, self._clear, self._incoming, self._session.read
        start = filled = 0
        while True:
            if start < count:
                incoming.write(wire[start : min(start + SLICE, count)])
                start += SLICE
            try:
                while True:
                    got: int = read(RECORD, clear[filled:])  # type: ignore[assignment]  # it counts, into a buffer
                    if not got:
                        self.ended = True
                        return filled
                    filled += got
                    if not incoming.pending:
                        break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.ended = True
                return filled
            if start >= count:
                return filled


def made(session: ssl.SSLObject) -> StandardSession:
    """*session*, of a context whose ``sslobject_class`` is ours."""
    assert isinstance(session, StandardSession)
    return session


def standard_channel(sock: socket.socket, wrap: Callable[[Any, Any], StandardSession]) -> TlsChannel:
    """*wrap* makes the session over an incoming and an outgoing buffer."""
    return TlsChannel(sock, wrap, buffer=ssl.MemoryBIO, records=StandardRecords)
