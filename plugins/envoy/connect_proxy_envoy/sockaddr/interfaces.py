"""The addresses of this host: the edge that templates are evaluated against."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IpInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_UP: Final = 0x1
"""IFF_UP."""
_ANYWHERE: Final = ((socket.AF_INET, "192.88.99.1"), (socket.AF_INET6, "2002::1"))
"""Addresses of no host here: which of ours the default route would use for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceAddress:
    """One address of one network interface."""

    name: str
    """Of the interface, such as ``eth0``."""
    ip: IpInterface
    """The address with its network."""
    is_up: bool = True
    on_default_route: bool = False

    @property
    def text(self) -> str:
        """The address alone."""
        return str(self.ip.ip)


def host_addresses() -> tuple[InterfaceAddress, ...]:
    """All of this host, in the system's order."""
    import ifaddr

    found = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            # Of IPv6 a tuple: address, flow information, scope.
            text = address.ip if isinstance(address.ip, str) else address.ip[0]
            ip = ipaddress.ip_interface(f"{text}/{address.network_prefix}")
            found.append((address.nice_name, ip))
    default = {name for name, ip in found if str(ip.ip) in set(_default_sources())}
    return tuple(
        InterfaceAddress(name=name, ip=ip, is_up=_is_up(name), on_default_route=name in default)
        for name, ip in found
    )


def _default_sources() -> Iterator[str]:
    """Our addresses on the default routes. Nothing is sent: the socket is only bound to a peer."""
    for family, elsewhere in _ANYWHERE:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe, suppress(OSError):
            probe.connect((elsewhere, 9))
            yield str(probe.getsockname()[0])


def _is_up(name: str) -> bool:
    """Where the system does not tell, an interface that has addresses is taken for up."""
    try:
        return bool(int(Path(f"/sys/class/net/{name}/flags").read_text(), 16) & _UP)
    except (OSError, ValueError):
        return True
