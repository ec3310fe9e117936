"""Listening sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from connect_proxy.errors import PortInUseError

_BACKLOG = 2048


def listen_tcp(host: str, port: int, *, what: str) -> socket.socket:
    """A listener on *host* (an IP address). Port 0 picks a free one. Raises PortInUseError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections take it over; asyncio sees to it only where the protocol was named. Without, the body
        # of an answer waits for the client's delayed acknowledgement of its head: 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise _in_use(what, host, port, exc) from exc
    listener.setblocking(False)
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listener on the unix socket *path*. A socket that nobody answers on is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        message = f"the agent's socket {str(path)!r} cannot be used: {exc.strerror}: choose another path"
        raise PortInUseError(message) from exc
    listener.setblocking(False)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def listen_udp(host: str, port: int, *, what: str) -> socket.socket:
    """A bound UDP socket. Raises PortInUseError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        raise _in_use(what, host, port, exc) from exc
    bound.setblocking(False)
    return bound


def _in_use(what: str, host: str, port: int, exc: OSError) -> PortInUseError:
    return PortInUseError(
        f"the agent's {what} port {port} on {host!r} cannot be used: {exc.strerror}: choose another"
    )
