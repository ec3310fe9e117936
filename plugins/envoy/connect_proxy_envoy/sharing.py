"""Whether a new process can listen beside this Envoy: on Linux, where its listeners have SO_REUSEPORT.

Envoy sets it by itself (``enable_reuse_port``, on since 1.20), unless a listener of the user's says no.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connect_proxy.errors import ProxyControlError
from connect_proxy_envoy.address import SocketAddress
from connect_proxy_envoy.admin_address import bound_socket
from connect_proxy_envoy.admin_client import AdminClient


def shared_addresses(admin: AdminClient) -> Sequence[str]:
    """Where it listens, the admin API aside. Raises ProxyControlError unless a new process could too."""
    addresses = [address for told in admin.listeners() for address in _addresses(told)]
    for address in addresses:
        if not can_be_shared(address):
            message = f"Envoy shares {str(address)!r} with nobody (enable_reuse_port of that listener)"
            raise ProxyControlError(message)
    return [str(address) for address in addresses]


def can_be_shared(address: SocketAddress) -> bool:
    """Whether somebody listens there who lets others of the same user listen too, or nobody does."""
    try:
        bound_socket(address, share=True).close()
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            message = f"{str(address)!r} cannot be shared: {exc.strerror}"
            raise ProxyControlError(message) from exc
        return False
    return hasattr(socket, "SO_REUSEPORT")


def _addresses(told: Mapping[str, Any]) -> Iterator[SocketAddress]:
    """Of one listener of ``GET /listeners?format=json``. Raises ProxyControlError for a unix socket."""
    more = (one["local_address"] for one in told.get("additional_local_addresses", ()))
    for address in (told["local_address"], *more):
        if "pipe" in address:
            path = address["pipe"]["path"]
            message = f"Envoy listens on the unix socket '{path}', which two processes cannot share"
            raise ProxyControlError(message)
        place = address["socket_address"]
        yield SocketAddress(host=place["address"], port=place["port_value"])
