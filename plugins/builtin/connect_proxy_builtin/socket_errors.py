"""Errors of sockets and of TLS: put into words, and passed on as resets."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Final

LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: close() sends a reset."""


def cause(exc: OSError) -> str:
    """A short text for a socket's or OpenSSL's error."""
    if is_of_tls(exc):
        return f"TLS: {(getattr(exc, 'reason', '') or 'error').lower().replace('_', ' ')}"
    return exc.strerror or str(exc)


def is_of_tls(exc: OSError) -> bool:
    """Whether TLS failed, not its socket: ``OpenSslError``, or ``ssl.SSLError``, which is not named here.

    To name it would import :mod:`ssl`, which only the other engine needs.
    """
    return hasattr(exc, "reason")


def pending_error(sock: socket.socket) -> str:
    """Why a connection did not come about; empty if it did. Takes the error off the socket."""
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(error) if error else ""


def reset_at_close(sock: socket.socket) -> None:
    """Let close() tell the other side that the stream was cut off."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
