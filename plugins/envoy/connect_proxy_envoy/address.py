"""Network addresses as Envoy takes them: resolved, since Envoy does not resolve in static configuration."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from connect_proxy.errors import ConfigurationError

UNIX = "unix://"


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketAddress:
    """An IP address and a TCP port."""

    host: str
    """Without brackets; a name until :func:`resolved` was applied."""
    port: int

    def to_envoy(self) -> dict[str, Any]:
        """``envoy.config.core.v3.Address``, in the spelling of Consul's bootstrap."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PipeAddress:
    """A unix socket."""

    path: str
    mode: int = 0
    """Permissions Envoy gives to a socket it makes; 0 leaves them to the umask."""

    def to_envoy(self) -> dict[str, Any]:
        """``envoy.config.core.v3.Address``."""
        pipe: dict[str, Any] = {"path": self.path}
        if self.mode:
            pipe["mode"] = self.mode
        return {"pipe": pipe}

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


Address = SocketAddress | PipeAddress


def parse_host_port(text: str, *, what: str, default_host: str = "127.0.0.1") -> SocketAddress:
    """``host:port``, ``[::1]:port`` or ``:port``. Raises ConfigurationError naming *what*."""
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        separator = ""
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        message = f"{what} is not host:port: {text!r}; write it as 127.0.0.1:8502 or [::1]:8502"
        raise ConfigurationError(message)
    return SocketAddress(host=host or default_host, port=int(port))


def resolved(address: SocketAddress, *, what: str) -> SocketAddress:
    """The same with a name turned into one IP address, IPv4 first (as Go's resolver does).

    Asks the system's resolver. Raises ConfigurationError naming *what*.
    """
    if is_ip(address.host):
        return address
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as exc:
        message = f"{what} cannot be resolved: {address.host!r} ({exc}); give an IP address"
        raise ConfigurationError(message) from exc
    hosts = [str(entry[4][0]) for entry in sorted(found, key=lambda entry: entry[0] != socket.AF_INET)]
    return SocketAddress(host=hosts[0], port=address.port)


def is_ip(host: str) -> bool:
    """Whether *host* is an IP address already."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
