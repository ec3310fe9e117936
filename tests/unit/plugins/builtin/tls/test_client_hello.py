from __future__ import annotations

import contextlib
import ssl

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy_builtin.policy import tls_material
from connect_proxy_builtin.tls.client_hello import offers_session
from connect_proxy_builtin.tls.contexts import TlsGeneration, tls_generation
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa


def generation() -> TlsGeneration:
    ca = MeshCa()
    return tls_generation(1, tls_material(leaf_of(ca.leaf("web"), "web"), roots_of(ca)))


def hello(tls: TlsGeneration, resume: ssl.SSLSession | None = None) -> bytes:
    outgoing = ssl.MemoryBIO()
    session = tls.call(ssl.MemoryBIO(), outgoing, resume=resume)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def a_session(tls: TlsGeneration) -> ssl.SSLSession:
    """After one whole handshake and a first byte."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = tls.answer(to_server, to_client, resuming=False)
    client = tls.call(to_client, to_server, resume=None)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    server.write(b"x")
    client.read(1)
    assert client.session is not None
    return client.session


FIRST = generation()
FRESH = hello(FIRST)
RESUMING = hello(FIRST, a_session(FIRST))


def test_a_fresh_hello_offers_none() -> None:
    assert not offers_session(memoryview(FRESH))


def test_a_resuming_hello_offers_one() -> None:
    assert offers_session(memoryview(RESUMING))


def test_the_beginning_of_a_hello_counts_as_none() -> None:
    for length in range(150):
        assert not offers_session(memoryview(RESUMING[:length]))


@given(st.binary(max_size=600))
def test_noise_never_raises(noise: bytes) -> None:
    offers_session(memoryview(noise))
    offers_session(memoryview(FRESH[:43] + noise))


@given(at=st.integers(0, len(RESUMING) - 1), byte=st.integers(0, 255))
def test_a_damaged_hello_never_raises(at: int, byte: int) -> None:
    damaged = bytearray(RESUMING)
    damaged[at] = byte
    offers_session(memoryview(damaged))
