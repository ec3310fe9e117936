"""The header that tells the application who its caller is: PROXY protocol, version 2. Pure.

Source: haproxy's ``doc/proxy-protocol.txt``, 2.2. Beside the caller's address it carries that TLS was
used with a verified certificate (PP2_TYPE_SSL), and the caller's SPIFFE URI in a type of the range
that the document leaves to applications (PP2_TYPE_MIN_CUSTOM).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_2_PROXY: Final = 0x21
UNSPECIFIED, TCP4, TCP6 = 0x00, 0x11, 0x21
TYPE_SSL: Final = 0x20
SUBTYPE_SSL_VERSION: Final = 0x21
CLIENT_SSL_WITH_CERTIFICATE: Final = 0x01 | 0x02 | 0x04
"""PP2_CLIENT_SSL, PP2_CLIENT_CERT_CONN, PP2_CLIENT_CERT_SESS."""
TYPE_SPIFFE_URI: Final = 0xE0

Address = tuple[str, int]


def header(*, source: Address, destination: Address, uri: str, tls_version: str) -> bytes:
    """What is sent before the first byte of the caller."""
    kind, addresses = _addresses(source, destination)
    version = _field(SUBTYPE_SSL_VERSION, tls_version.encode())
    ssl = _field(TYPE_SSL, struct.pack("!BI", CLIENT_SSL_WITH_CERTIFICATE, 0) + version)
    body = addresses + ssl + _field(TYPE_SPIFFE_URI, uri.encode())
    return SIGNATURE + struct.pack("!BBH", VERSION_2_PROXY, kind, len(body)) + body


def _addresses(source: Address, destination: Address) -> tuple[int, bytes]:
    """Both of one family: an IPv4 caller of a dual-stack listener is an IPv4 caller."""
    here, there = _unmapped(source[0]), _unmapped(destination[0])
    if here.version != there.version:
        return UNSPECIFIED, b""
    kind = TCP4 if here.version == 4 else TCP6
    return kind, here.packed + there.packed + struct.pack("!HH", source[1], destination[1])


def _unmapped(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _field(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value
