"""What a TLS 1.2 server says before anything is encrypted (RFC 5246, 6.2.1 and 7.4). Pure.

Python tells a peer's certificate only once the handshake is complete, which a server that demands
a client certificate never lets it be. In TLS 1.2 the certificate is sent in the clear: it can be
read from the bytes that OpenSSL checked. In TLS 1.3 nothing of this is in the clear.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_HANDSHAKE_RECORD: Final = 22
_CERTIFICATE: Final = 11
_SERVER_HELLO_DONE: Final = 14


def certificate_in_the_clear(received: bytes) -> bytes | None:
    """The server's certificate (DER), once its whole first flight is in *received*; else None.

    The flight ends with ServerHelloDone, after the signature that proves possession of the key.
    """
    certificate = None
    for kind, body in _messages(_handshake_stream(received)):
        if kind == _CERTIFICATE:
            length = int.from_bytes(body[3:6])  # bytes 0 to 3: the length of the whole list
            certificate = body[6 : 6 + length]
        if kind == _SERVER_HELLO_DONE:
            return certificate or None
    return None


def _handshake_stream(received: bytes) -> bytes:
    """The payloads of the handshake records, up to the first record of another kind."""
    stream, at = b"", 0
    while at + 5 <= len(received) and received[at] == _HANDSHAKE_RECORD:
        end = at + 5 + int.from_bytes(received[at + 3 : at + 5])
        if end > len(received):
            break
        stream += received[at + 5 : end]
        at = end
    return stream


def _messages(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each complete handshake message."""
    at = 0
    while at + 4 <= len(stream):
        end = at + 4 + int.from_bytes(stream[at + 1 : at + 4])
        if end > len(stream):
            return
        yield stream[at], stream[at + 4 : end]
        at = end
