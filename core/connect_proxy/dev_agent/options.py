"""What the embedded agent is started with, and what it says once it listens."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Protocol

from connect_proxy.errors import ConfigurationError

_UNIX: Final = "unix://"


@dataclass(frozen=True, kw_only=True, slots=True)
class DevAgentOptions:
    """How the agent is started. Ports: 0 picks a free one, -1 is off."""

    http_port: int = 8500
    grpc_port: int = 8502
    dns_port: int = 8600
    client: str = "127.0.0.1"
    """Where HTTP, DNS and gRPC listen: an IP address, or ``unix:///path`` (HTTP alone)."""
    bind: str = "127.0.0.1"
    """The node's own address: where services without an address are reached."""
    node: str = field(default_factory=socket.gethostname)
    datacenter: str = "dc1"
    sidecar_ports: tuple[int, int] = (21000, 21255)
    """First and last port handed out to sidecars."""
    ca_grace: float = 45.0
    """Seconds after a start on kept state in which sidecars keep their leaves: until all of them have come
    back and know the new root. ``connect-proxy``'s own wait up to 30 s between two tries."""

    @property
    def http_socket(self) -> str:
        """Path of the unix socket for HTTP; empty if HTTP listens on an address."""
        return self.client.removeprefix(_UNIX) if self.client.startswith(_UNIX) else ""

    @property
    def listener_host(self) -> str:
        """The IP address for listeners that cannot be unix sockets. Raises ConfigurationError."""
        return "127.0.0.1" if self.http_socket else ip_text(self.client)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Where a started agent is reached. Empty: that listener is off."""

    http: str
    """``127.0.0.1:8500``, ``[::1]:8500`` or ``unix:///path``: what ``CONSUL_HTTP_ADDR`` takes."""
    dns: str
    grpc: str
    datacenter: str
    node: str
    node_id: str
    trust_domain: str


class XdsService(Protocol):
    """What fills the gRPC port: serves Envoy's xDS from the agent's own HTTP API."""

    @property
    def supported_envoys(self) -> tuple[str, ...]:
        """The Envoy versions it speaks to, newest first, as ``agent/self`` lists them."""

    async def start(self, listen_address: str, agent_http_url: str) -> int:
        """Listen on *listen_address* (``host:port``, port 0 picks one); returns the port."""

    async def stop(self) -> None:
        """Stop listening and end all streams."""


def ip_text(text: str) -> str:
    """An IP address in its usual spelling, brackets dropped. Raises ConfigurationError."""
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as exc:
        message = f"not an IP address to listen on: {text!r}: give one, or unix:///path for HTTP"
        raise ConfigurationError(message) from exc
