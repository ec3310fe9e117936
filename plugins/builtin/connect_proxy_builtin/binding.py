"""Opening listening sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy_builtin.dialling import tune
from connect_proxy_builtin.policy import ConnectionLimits, SocketAddress
from connect_proxy_builtin.port_owner import port_owner

BACKLOG: Final = 4096
"""Cut by the kernel to net.core.somaxconn."""


def listen(
    address: SocketAddress, limits: ConnectionLimits, *, what: str, share: bool = False
) -> socket.socket:
    """A listening socket. *what* names it in errors: ``public listener``. *share*: a process beside this
    one listens there too, or may; without it that is an error, as every clash of two proxies.

    Raises PortInUseError, or ConfigurationError for an address that this machine does not have or
    that may not be used.
    """
    try:
        if address.path:
            return _listen_unix(address)
        return _listen_tcp(address, limits, share)
    except OSError as exc:
        raise _explained(exc, address, what) from exc


def _explained(exc: OSError, address: SocketAddress, what: str) -> PortInUseError | ConfigurationError:
    reason = exc.strerror or str(exc)
    if exc.errno == errno.EADDRINUSE:
        owner = port_owner(address.port) if address.port else ""
        taken = f"{what}: {str(address)!r} is in use" + (f" by {owner}" if owner else "")
        return PortInUseError(f"{taken}; stop what listens there or choose another port")
    if exc.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(
            f"{what}: this machine has no address {address.host!r}; "
            "set bind_address in the proxy's config to one that it has"
        )
    return ConfigurationError(f"{what}: cannot listen on {str(address)!r}: {reason}")


def _listen_tcp(address: SocketAddress, limits: ConnectionLimits, share: bool) -> socket.socket:
    if not address.host:
        return _listen_everywhere(address.port, limits, share)
    # As bytes where it may: the codec for names beyond ASCII is not small, and imported for every text.
    host = address.host.encode() if address.host.isascii() else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _kind, _protocol, _name, target = found[0]
    return _bound(family, target, limits, share)


def _listen_everywhere(port: int, limits: ConnectionLimits, share: bool) -> socket.socket:
    """All interfaces: one socket for IPv6 and IPv4, as Go's ``:port``; IPv4 alone without IPv6."""
    if socket.has_dualstack_ipv6():
        return _bound(socket.AF_INET6, ("::", port), limits, share, dual=True)
    everywhere = ("0.0.0.0", port)  # noqa: S104 - that is what was asked for
    return _bound(socket.AF_INET, everywhere, limits, share)


def _bound(
    family: socket.AddressFamily | int,
    target: tuple[object, ...],
    limits: ConnectionLimits,
    share: bool,
    *,
    dual: bool = False,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        share_port(sock, share=share)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        tune(sock, keepalive_s=limits.keepalive_s, user_timeout_s=limits.user_timeout_s)
        sock.bind(target)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def share_port(sock: socket.socket, *, share: bool) -> None:
    """Whether a process of the same user may listen on the very address too, if it asks for the same.
    On Linux that may be changed while it listens."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))


def everywhere_beside(port: int, limits: ConnectionLimits, *, what: str) -> list[socket.socket]:
    """All interfaces, where a process beside this one has those of IPv4 in a socket of their own: as many
    sockets as that takes. In one for both kinds the kernel would not see the other's successor.

    Raises as :func:`listen`.
    """
    ipv4 = SocketAddress(host="0.0.0.0", port=port)  # noqa: S104 - that is what was asked for
    opened = [listen(ipv4, limits, what=what, share=True)]
    with contextlib.suppress(ConfigurationError, PortInUseError):  # a machine without IPv6
        opened.append(listen(SocketAddress(host="::", port=port), limits, what=what, share=True))
    return opened


def is_dual(sock: socket.socket) -> bool:
    """Whether it listens on all addresses of both kinds."""
    return (
        sock.family == socket.AF_INET6
        and sock.getsockname()[0] == "::"
        and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    )


def _listen_unix(address: SocketAddress) -> socket.socket:
    _remove_stale(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if address.mode is not None:
            # On the descriptor first: on Linux the file is then never there with other permissions.
            with contextlib.suppress(OSError):
                os.fchmod(sock.fileno(), address.mode)
        sock.bind(address.path)
        if address.mode is not None:
            os.chmod(address.path, address.mode)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """A socket file that nobody listens on any more is left from a crash: take its place."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            Path(path).unlink(missing_ok=True)
