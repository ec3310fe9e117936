"""Where the agent's own HTTP API listens."""

from __future__ import annotations

import ipaddress
import logging
import socket

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import PortInUseError

log = logging.getLogger("connect_proxy.managed.api")


def listening(host: str, port: int) -> socket.socket:
    """The API's listener. Raises PortInUseError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        message = f"the agent's API cannot listen on '{host}:{port}': {exc.strerror}; set -api-addr"
        raise PortInUseError(message) from exc
    listener.listen(128)
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        log.warning(
            "the agent's API listens on '%s:%d', not on loopback: tokens cross the network in the clear,"
            " and who reaches that port asks Consul from this host; set -api-addr",
            host,
            port,
        )
    return listener


def reached_at(host: str, port: int) -> AgentAccess:
    """How proxies reach the API that listens on *host* and *port*: by the address, whatever name it has."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4][0]
    except OSError:
        address = host  # it cannot be listened on either, which is told where that is tried
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared, not bound)
    return AgentAccess(host=loopback.get(str(address), str(address)), port=port)
