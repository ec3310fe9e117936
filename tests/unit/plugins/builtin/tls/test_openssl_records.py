"""Records cut anywhere on their way: what is whole comes out at once, in its order, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from connect_proxy_builtin.policy import TlsMaterial, tls_material
from connect_proxy_builtin.tls import openssl_library
from connect_proxy_builtin.tls.channel import CHUNK, RECORD, SLICE, Records, TlsChannel
from connect_proxy_builtin.tls.engine import OpenSslGeneration, openssl_generation
from connect_proxy_builtin.tls.openssl_records import OVERHEAD, SEALED_SLICE
from connect_proxy_builtin.tls.versions import TlsVersion, TlsVersions
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa

NOTHING_YET = memoryview(b"")
LENGTHS = st.one_of(st.integers(1, 60), st.integers(1, RECORD), st.just(RECORD))


def generation(versions: TlsVersions) -> OpenSslGeneration:
    ca = MeshCa()
    material: TlsMaterial = tls_material(leaf_of(ca.leaf("web"), "web"), roots_of(ca))
    library = openssl_library.bundled()
    assert library is not None, "the cryptography under test has everything that is needed"
    return openssl_generation(library, 1, dataclasses.replace(material, versions=versions))


GENERATIONS = {
    version: generation(TlsVersions(minimum=version, maximum=version)) for version in list(TlsVersion)
}


class End:
    """One side, with buffers as a reactor has them."""

    def __init__(self, channel: TlsChannel) -> None:
        self.wire = memoryview(bytearray(CHUNK))
        self.clear = memoryview(bytearray(CHUNK + 2 * RECORD))
        self.records: Records = channel.records(self.wire, self.clear)

    def seal(self, data: bytes) -> bytes:
        self.wire[: len(data)] = data
        return bytes(self.records.seal(0, len(data)))

    def open(self, sealed: bytes) -> bytes:
        self.wire[: len(sealed)] = sealed
        return bytes(self.clear[: self.records.open(len(sealed))])


@contextlib.contextmanager
def connected(tls: OpenSslGeneration) -> Iterator[tuple[End, End]]:
    """A caller, and who answers: its tickets come with its first bytes in TLS 1.3."""
    near, far = socket.socketpair()
    with near, far:
        caller, answerer = tls.dialled(near, resume=None), tls.accepted(far, hello=NOTHING_YET)
        buffer = memoryview(bytearray(SLICE))
        assert not caller.handshake()
        for _ in range(3):
            answerer.incoming.write(buffer[: far.recv_into(buffer)])
            if answerer.handshake(rest_waits=True) and caller.session.version() == "TLSv1.3":
                break
            caller.incoming.write(buffer[: near.recv_into(buffer)])
            if caller.handshake() and caller.session.version() == "TLSv1.2":
                break
        yield End(caller), End(answerer)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(TlsVersion)),
    st.booleans(),
    st.lists(LENGTHS, min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_what_is_whole_comes_out_at_once(
    version: TlsVersion, answering: bool, lengths: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    with connected(GENERATIONS[version]) as (caller, answerer):
        sender, receiver = (answerer, caller) if answering else (caller, answerer)
        sealed, clear, whole_at = b"", b"", list[tuple[int, int]]()
        for length in lengths:
            data = chance.randbytes(length)
            sealed, clear = sealed + sender.seal(data), clear + data
            whole_at.append((len(sealed), len(clear)))
        assert len(sealed) <= CHUNK
        cuts = sorted(chance.choices(range(1, len(sealed) + 1), k=chance.randint(0, 6)))
        # Beside the ends of records too: there it is easiest to be one off.
        ends = [end + chance.randint(-1, 1) for end, _ in whole_at if chance.random() < 0.7]
        got, fed = b"", 0
        for cut in sorted({*cuts, *ends, len(sealed)}):
            if not fed < cut <= len(sealed):
                continue
            got += receiver.open(sealed[fed:cut])
            fed = cut
            assert got == clear[: max((upto for end, upto in whole_at if end <= fed), default=0)]
        assert got == clear
        assert not receiver.records.ended


def test_full_records_fill_what_is_decrypted_at_once() -> None:
    data = bytes(range(256)) * (SLICE // 256)
    with connected(GENERATIONS[TlsVersion.TLSv1_3]) as (caller, answerer):
        sealed = caller.seal(data)
        assert len(sealed) == SEALED_SLICE
        assert answerer.open(sealed) == data
        small = caller.seal(b"x")
        assert len(small) == 1 + OVERHEAD
        assert answerer.open(small) == b"x"


def test_a_record_behind_one_that_came_in_two_parts_is_not_left_behind() -> None:
    with connected(GENERATIONS[TlsVersion.TLSv1_3]) as (caller, answerer):
        long, short = caller.seal(b"a" * 100), caller.seal(b"b" * 8)
        cut = len(short)
        assert answerer.open(long[:cut]) == b""
        second = long[cut:] + short
        assert len(second) == 100 + OVERHEAD  # as long as if there was nothing but the first
        assert answerer.open(second) == b"a" * 100 + b"b" * 8


def test_the_first_bytes_of_a_record_give_nothing() -> None:
    with connected(GENERATIONS[TlsVersion.TLSv1_3]) as (caller, answerer):
        assert answerer.open(caller.seal(b"hello")) == b"hello"
        sealed = caller.seal(b"again")
        assert answerer.open(sealed[: OVERHEAD - 1]) == b""
        assert answerer.open(sealed[OVERHEAD - 1 :]) == b"again"
