"""Opening outgoing sockets without waiting."""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import socket
from typing import Final

from connect_proxy_builtin.policy import SocketAddress

IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EALREADY})


def dial(
    address: SocketAddress, *, keepalive_s: float = 0.0, user_timeout_s: float = 0.0
) -> tuple[socket.socket, bool]:
    """A connecting socket and whether it is connected already. Raises OSError.

    A host name is an error: control looks names up (:mod:`connect_proxy_builtin.names`).
    """
    if address.path:
        return _connect(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
    family = _family(address.host)
    if family is None:
        raise OSError(errno.EHOSTUNREACH, f"the host name {address.host!r} is not resolved")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        tune(sock, keepalive_s=keepalive_s, user_timeout_s=user_timeout_s)
    except OSError:
        sock.close()
        raise
    return _connect(sock, (address.host, address.port))


def _connect(sock: socket.socket, target: object) -> tuple[socket.socket, bool]:
    sock.setblocking(False)
    error = sock.connect_ex(target)  # type: ignore[arg-type]
    if error in IN_PROGRESS:
        # On the same host it is done by now, only not said: to ask is cheaper than to wait for an event.
        error = sock.connect_ex(target)  # type: ignore[arg-type]
        error = 0 if error == errno.EISCONN else error
    if error and error not in IN_PROGRESS:
        sock.close()
        raise OSError(error, _text(error))
    return sock, not error


def _text(error: int) -> str:
    if error == errno.EAGAIN:
        return "its queue of waiting connections is full"
    return os.strerror(error)


@functools.lru_cache(maxsize=4096)
def _family(host: str) -> socket.AddressFamily | None:
    """Of an IP address; None for a name."""
    try:
        return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return None


def tune(sock: socket.socket, *, keepalive_s: float, user_timeout_s: float) -> None:
    """No delay for small writes; find out about peers that are gone. A listener hands these on (Linux)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle = max(1, round(keepalive_s))
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    if user_timeout_s and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(user_timeout_s * 1000))
