"""One TLS session over two memory buffers, with the socket beside it.

Memory BIOs, since only they can half-close: ``SSL_shutdown`` on a socket goes on to read, and a
record of the peer that is already there then breaks the session ("application data after close
notify"). Here everything received is decrypted before anything else happens, so at the time of our
close_notify the buffer holds at most a part of one record. Measured as fast as TLS on the socket.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

SLICE: Final = 64 * 1024
"""At most this much goes into a BIO at once: BIOs keep the memory they once needed."""
CHUNK: Final = 256 * 1024
RECORD: Final = 16 * 1024


class TlsChannel:
    """A socket and its TLS session. Non-blocking throughout."""

    __slots__ = ("incoming", "outgoing", "session", "sock", "unsent")

    def __init__(
        self, sock: socket.socket, wrap: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject]
    ) -> None:
        """*wrap* makes the session over an incoming and an outgoing buffer."""
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = wrap(self.incoming, self.outgoing)
        self.unsent = b""

    def handshake(self) -> bool:
        """One step with what was received; whether it is done. Raises ssl.SSLError, OSError.

        What has to be sent is sent, also the alert of a failed handshake.
        """
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()
        return True

    def flush(self) -> bool:
        """Send what TLS has to say; whether all of it went."""
        data = self.unsent + self.outgoing.read()
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
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            self.session.unwrap()


def receive(sock: socket.socket, buffer: memoryview) -> int:
    """Up to a slice of bytes; how many, 0 at the end, -1 if there are none now. Raises OSError."""
    try:
        return sock.recv_into(buffer, SLICE)
    except (BlockingIOError, InterruptedError):
        return -1
