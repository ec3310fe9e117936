"""One TLS session over two memory buffers, with the socket beside it.

Memory BIOs, since only they can half-close: ``SSL_shutdown`` on a socket goes on to read, and a
record of the peer that is already there then breaks the session ("application data after close
notify"). Here everything received is decrypted before anything else happens, so at the time of our
close_notify the buffer holds at most a part of one record. Measured as fast as TLS on the socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

SLICE: Final = 64 * 1024
"""At most this much goes into a BIO at once: BIOs keep the memory they once needed."""
CHUNK: Final = 256 * 1024
RECORD: Final = 16 * 1024


class Buffer(Protocol):
    """``ssl.MemoryBIO``, or like it."""

    @property
    def pending(self) -> int:
        """How many bytes were not read yet."""

    def read(self) -> bytes | memoryview:
        """All of it. A view is good until the next read of any buffer of this thread."""

    def write(self, data: memoryview, /) -> int:
        """Add *data*."""


class Session(Protocol):
    """One side of one connection. What goes wrong in TLS is an OSError with a ``reason``."""

    @property
    def session(self) -> Any:
        """What a later connection may resume with; None if there is nothing."""

    @property
    def session_reused(self) -> bool | None:
        """Whether the handshake resumed."""

    def step(self) -> bool:
        """One step of the handshake; whether it is done."""

    def end(self) -> None:
        """Say that nothing more comes from here."""

    def getpeercert(self, binary_form: Literal[True]) -> bytes | None:
        """The peer's certificate as DER."""

    def version(self) -> str | None:
        """``TLSv1.3``; None before the handshake."""


class Records(Protocol):
    """TLS records made of one buffer's bytes, and opened into another's: the hot path of an engine."""

    ended: bool
    """Whether the peer's close_notify was read."""

    def seal(self, start: int, stop: int) -> bytes | memoryview:
        """Encrypt these bytes of ``wire``. A view is good until the next call on this thread."""

    def open(self, count: int) -> int:
        """Decrypt *count* bytes of ``wire``, and what was there before, into ``clear``; how many came out.

        Raises an OSError with a ``reason``.
        """


class TlsChannel:
    """A socket and its TLS session. Non-blocking throughout."""

    __slots__ = ("_records", "incoming", "outgoing", "session", "sock", "unsent")

    def __init__(
        self,
        sock: socket.socket,
        wrap: Callable[[Any, Any], Session],
        *,
        buffer: Callable[[], Buffer],
        records: Callable[[TlsChannel, memoryview, memoryview], Records],
    ) -> None:
        """*wrap* makes the session over an incoming and an outgoing *buffer*."""
        self._records = records
        self.sock = sock
        self.incoming = buffer()
        self.outgoing = buffer()
        self.session = wrap(self.incoming, self.outgoing)
        self.unsent = b""

    def handshake(self, *, rest_waits: bool = False) -> bool:
        """One step with what was received; whether it is done. Raises OSError.

        What has to be sent is sent, also the alert of a failed handshake. *rest_waits*: what TLS 1.3 has
        to say when the handshake is done, a server's tickets or a client's last flight, stays in
        ``outgoing`` and goes with the first bytes that follow: one segment less to send, and one event
        less for the peer. A client has to see that it does not wait there: its server does.
        """
        done = False
        try:
            done = self.session.step()
        finally:
            if not (done and rest_waits and self.session.version() == "TLSv1.3"):
                self.flush()
        return done

    def records(self, wire: memoryview, clear: memoryview) -> Records:
        """What turns the bytes of *wire* into records, or records there into bytes in *clear*."""
        return self._records(self, wire, clear)

    def flush(self) -> bool:
        """Send what TLS has to say; whether all of it went."""
        data = self.unsent + bytes(self.outgoing.read())
        if not data:
            return True
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self.unsent = data[sent:]
        return not self.unsent

    def close_notify(self) -> None:
        """Say that we send no more; the peer may still. The alert lands in ``outgoing``."""
        self.session.end()


def receive(sock: socket.socket, buffer: memoryview) -> int:
    """Up to a slice of bytes; how many, 0 at the end, -1 if there are none now. Raises OSError."""
    try:
        return sock.recv_into(buffer, SLICE)
    except (BlockingIOError, InterruptedError):
        return -1
