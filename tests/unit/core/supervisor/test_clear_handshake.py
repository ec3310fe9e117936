"""Reading what a TLS 1.2 server says in the clear. (Real handshakes: test_readiness.py.)"""

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.supervisor.clear_handshake import certificate_in_the_clear

DER = b"certificate"


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3) + body


def record(payload: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 3]) + len(payload).to_bytes(2) + payload


def listed(*certificates: bytes) -> bytes:
    entries = b"".join(len(one).to_bytes(3) + one for one in certificates)
    return len(entries).to_bytes(3) + entries


HELLO, CERTIFICATE, DONE = message(2, b"hello"), message(11, listed(DER, b"issuer")), message(14, b"")


def test_the_first_certificate_is_the_servers_own() -> None:
    assert certificate_in_the_clear(record(HELLO) + record(CERTIFICATE) + record(DONE)) == DER


@given(st.integers(1, len(HELLO + CERTIFICATE + DONE) - 1))
def test_messages_may_be_spread_over_records_in_any_way(cut: int) -> None:
    stream = HELLO + CERTIFICATE + DONE
    assert certificate_in_the_clear(record(stream[:cut]) + record(stream[cut:])) == DER


@given(st.integers(0, len(record(HELLO + CERTIFICATE + DONE)) - 1))
def test_nothing_is_told_before_the_whole_flight_is_there(length: int) -> None:
    assert certificate_in_the_clear(record(HELLO + CERTIFICATE + DONE)[:length]) is None


def test_nothing_of_tls_1_3_is_in_the_clear() -> None:
    assert (
        certificate_in_the_clear(record(HELLO) + record(b"\x01", kind=20) + record(DONE, kind=23)) is None
    )


def test_a_server_without_a_certificate_shows_none() -> None:
    assert certificate_in_the_clear(record(HELLO + DONE)) is None
    assert certificate_in_the_clear(record(HELLO + message(11, b"") + DONE)) is None


@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail(received: bytes) -> None:
    found = certificate_in_the_clear(received)
    assert found is None or found in received
