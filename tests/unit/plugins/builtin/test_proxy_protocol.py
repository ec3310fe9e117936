from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy_builtin.proxy_protocol import SIGNATURE, header

URI = "spiffe://x.consul/ns/default/dc/dc1/svc/api"


def read(data: bytes) -> tuple[int, bytes, dict[int, bytes]]:
    """Family, addresses and fields, read as the document says."""
    assert data.startswith(SIGNATURE)
    version, kind, length = struct.unpack_from("!BBH", data, 12)
    assert version == 0x21
    body = data[16:]
    assert len(body) == length
    size = {0x11: 12, 0x21: 36, 0x00: 0}[kind]
    fields, at = {}, size
    while at < len(body):
        field, width = struct.unpack_from("!BH", body, at)
        fields[field] = body[at + 3 : at + 3 + width]
        at += 3 + width
    return kind, body[:size], fields


def test_an_ipv4_caller() -> None:
    kind, addresses, fields = read(
        header(source=("10.0.0.1", 5000), destination=("10.0.0.2", 21000), uri=URI, tls_version="TLSv1.3")
    )
    assert kind == 0x11
    assert addresses == bytes([10, 0, 0, 1, 10, 0, 0, 2]) + struct.pack("!HH", 5000, 21000)
    assert fields[0xE0] == URI.encode()
    assert fields[0x20] == b"\x07\0\0\0\0" + b"\x21\0\x07TLSv1.3"


def test_an_ipv6_caller() -> None:
    kind, addresses, _ = read(
        header(source=("fe80::1%eth0", 1), destination=("::1", 2), uri=URI, tls_version="TLSv1.2")
    )
    assert kind == 0x21
    assert addresses[16:32] == bytes(15) + b"\x01"


def test_an_ipv4_caller_of_a_dual_stack_listener_is_an_ipv4_caller() -> None:
    kind, addresses, _ = read(
        header(source=("::ffff:10.0.0.1", 1), destination=("::ffff:10.0.0.2", 2), uri=URI, tls_version="")
    )
    assert kind == 0x11
    assert addresses[:4] == bytes([10, 0, 0, 1])


@given(
    source=st.ip_addresses(),
    destination=st.ip_addresses(),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    uri=st.text(max_size=300),
)
def test_any_caller_makes_a_header_that_can_be_read(
    source: object, destination: object, ports: tuple[int, int], uri: str
) -> None:
    made = header(
        source=(str(source), ports[0]),
        destination=(str(destination), ports[1]),
        uri=uri,
        tls_version="TLSv1.3",
    )
    assert read(made)[2][0xE0] == uri.encode()
