"""Where Envoy's admin API listens, and whether that address is free."""

from __future__ import annotations

import os
import socket

from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy_envoy.address import UNIX, Address, PipeAddress, SocketAddress, parse_host_port, resolved
from connect_proxy_envoy.port_owner import port_owner
from connect_proxy_envoy.settings import DEFAULT_ADMIN_BIND

WHAT = "the admin address (-admin-bind)"
SOCKET_MODE = 0o600
MAX_SOCKET_PATH = 107


def choose_admin_address(text: str, *, pick_port: bool) -> Address:
    """*text* as an address, its name resolved; port 0 becomes a free port if *pick_port*, and stays ours.

    Raises ConfigurationError.
    """
    if text.startswith(UNIX):
        path = text[len(UNIX) :]
        if not path.startswith("/") or len(os.fsencode(path)) > MAX_SOCKET_PATH:
            message = (
                f"{WHAT} is no usable socket path: {path!r}; give an absolute path of at most "
                f"{MAX_SOCKET_PATH} bytes"
            )
            raise ConfigurationError(message)
        return PipeAddress(path=path, mode=SOCKET_MODE)
    address = resolved(parse_host_port(text or DEFAULT_ADMIN_BIND, what=WHAT), what=WHAT)
    if address.port == 0 and pick_port:
        return SocketAddress(host=address.host, port=_held_port(address))
    return address


def _held_port(address: SocketAddress) -> int:
    """A free port that nobody else gets before Envoy listens on it.

    It stays bound, not listening, by a descriptor that ends with this process, or with the Envoy in its
    place. Envoy may listen there, as it sets SO_REUSEADDR; but where many start at once the kernel gives
    the port to no other that asks for any.
    """
    with bound_socket(address) as placeholder:
        port: int = placeholder.getsockname()[1]
        placeholder.set_inheritable(True)
        placeholder.detach()
    return port


def check_free(address: Address) -> None:
    """Raises PortInUseError, naming the owner where it can be told, if Envoy could not listen there."""
    if isinstance(address, PipeAddress):
        _check_socket_free(address)
        return
    try:
        listening_socket(address).close()
    except OSError as exc:
        owner = port_owner(address.port)
        held = f" by {owner}" if owner else ""
        message = (
            f"{WHAT} {str(address)!r} cannot be used: {exc.strerror}{held}; each Envoy on a host needs "
            "its own: give -admin-bind localhost:0 or unix:///path"
        )
        raise PortInUseError(message) from exc


def listening_socket(address: SocketAddress) -> socket.socket:
    """A socket that listens on *address*. Raises OSError."""
    listener = bound_socket(address)
    try:
        # On Linux two sockets may be bound with SO_REUSEADDR as long as neither listens.
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def bound_socket(address: SocketAddress, *, share: bool = False) -> socket.socket:
    """A socket that is bound to *address* and does not listen. *share*: others that share the port may
    listen there. Raises OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    return bound


def _check_socket_free(address: PipeAddress) -> None:
    """A socket file that nobody serves is removed by Envoy itself; a served one is taken."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.path)
        except OSError:
            return
    message = f"{WHAT} {str(address)!r} is in use: another process answers there; give another path"
    raise PortInUseError(message)
