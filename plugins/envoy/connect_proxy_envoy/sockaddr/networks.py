"""Which addresses are private, forwardable and so on (RFC 6890 and the IANA registries it set up)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(word) for word in text.split())


RFC_NETWORKS: Final = {
    "1918": _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
    "4193": _networks("fc00::/7"),
    "6598": _networks("100.64.0.0/10"),
    "6890": _networks(
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
        "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
        "240.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 64:ff9b::/96 ::ffff:0:0/96 100::/64 2001::/23 "
        "2001:2::/48 2001:db8::/32 2001:10::/28 2002::/16 fc00::/7 fe80::/10"
    ),
}
"""By number, as ``include "rfc" "6890"`` names them."""

_NOT_FORWARDABLE: Final = _networks(
    "0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 "
    "240.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 ::ffff:0:0/96 2001::/23 2001:10::/28 2001:db8::/32 "
    "fe80::/10"
)


def is_forwardable(address: IpAddress) -> bool:
    """Whether a router may pass packets to it on."""
    return not (address.is_multicast or is_inside(address, _NOT_FORWARDABLE))


def is_inside(address: IpAddress, networks: Iterable[IpNetwork]) -> bool:
    """Whether one of *networks* holds the address; none of the other IP version does."""
    return any(address.version == network.version and address in network for network in networks)
