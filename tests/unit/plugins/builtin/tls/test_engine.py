"""Both engines keep the same promises, and understand each other."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError
from connect_proxy.secret import Secret
from connect_proxy_builtin.policy import Target, TlsMaterial, tls_material
from connect_proxy_builtin.tls import openssl_library
from connect_proxy_builtin.tls.channel import CHUNK, RECORD, SLICE, TlsChannel
from connect_proxy_builtin.tls.contexts import TlsGeneration, tls_generation
from connect_proxy_builtin.tls.engine import Generation, OpenSslGeneration, generation, openssl_generation
from connect_proxy_builtin.tls.openssl_session import OpenSslError
from connect_proxy_builtin.tls.standard_session import StandardSession, made, standard_channel
from connect_proxy_builtin.tls.versions import TlsVersion, TlsVersions
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import Identity, MeshCa, client_context

Make = Callable[[int, TlsMaterial], Generation]


def bundled(number: int, material: TlsMaterial) -> Generation:
    library = openssl_library.bundled()
    assert library is not None, "the cryptography under test has everything that is needed"
    return openssl_generation(library, number, material)


ENGINES: dict[str, Make] = {"standard": tls_generation, "bundled": bundled}
NOTHING_YET = memoryview(b"")
TLS_ERRORS = (ssl.SSLError, OpenSslError)
TARGET = Target(address="127.0.0.1", port=1, expected_uri="spiffe://d.consul/ns/default/dc/dc1/svc/web")


def material(ca: MeshCa, identity: Identity | None = None) -> TlsMaterial:
    return tls_material(leaf_of(identity or ca.leaf("web"), "web"), roots_of(ca))


@pytest.fixture(params=ENGINES)
def server_engine(request: pytest.FixtureRequest) -> Make:
    return ENGINES[request.param]


@pytest.fixture(params=ENGINES)
def client_engine(request: pytest.FixtureRequest) -> Make:
    return ENGINES[request.param]


@dataclass
class End:
    """One side of a connection, with buffers as a reactor has them."""

    channel: TlsChannel

    def __post_init__(self) -> None:
        self.wire = memoryview(bytearray(CHUNK))
        self.clear = memoryview(bytearray(CHUNK + 2 * RECORD))
        self.records = self.channel.records(self.wire, self.clear)

    def send(self, data: bytes) -> None:
        """In slices, each at once on the wire."""
        for start in range(0, len(data), SLICE):
            part = data[start : start + SLICE]
            self.wire[: len(part)] = part
            self.channel.sock.sendall(self.records.seal(0, len(part)))

    def end(self) -> None:
        self.channel.close_notify()
        self.channel.sock.sendall(self.channel.outgoing.read())

    def receive(self) -> bytes:
        """What is there now, decrypted."""
        try:
            count = self.channel.sock.recv_into(self.wire)
        except BlockingIOError:
            return b""
        return bytes(self.clear[: self.records.open(count)])


@contextlib.contextmanager
def connected(server: Generation, client: Generation, resume: Any = None) -> Iterator[tuple[End, End]]:
    """A caller and who answers, after the handshake. Raises TLS_ERRORS of whoever refused."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        caller, answerer = client.dialled(near, resume=resume), server.accepted(far, hello=NOTHING_YET)
        shake(caller, answerer)
        yield End(caller), End(answerer)


def shake(caller: TlsChannel, answerer: TlsChannel, *, rest_waits: bool = False) -> None:
    buffer = memoryview(bytearray(SLICE))
    done = {caller: caller.handshake(), answerer: False}
    for _ in range(20):
        for channel in (answerer, caller):
            if done[channel]:
                continue
            with contextlib.suppress(BlockingIOError):
                count = channel.sock.recv_into(buffer)
                channel.incoming.write(buffer[:count])
                done[channel] = channel.handshake(rest_waits=rest_waits and channel is answerer)
        if all(done.values()):
            return
    raise AssertionError("no end of the handshake")


def test_bytes_and_ends_travel_both_ways(mesh_ca: MeshCa, server_engine: Make, client_engine: Make) -> None:
    server, client = server_engine(1, material(mesh_ca)), client_engine(1, material(mesh_ca))
    with connected(server, client) as (caller, answerer):
        caller.send(b"hello")
        assert answerer.receive() == b"hello"
        caller.end()
        assert answerer.receive() == b""
        assert answerer.records.ended
        answerer.send(b"still there")  # half closed
        assert caller.receive() == b"still there"
        assert not caller.records.ended


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(ENGINES)), st.binary(min_size=1, max_size=9), st.integers(1, 40_000))
def test_bytes_come_out_as_they_went_in(engine: str, seed: bytes, times: int) -> None:
    data = (seed * times)[: 3 * SLICE // 2]
    with connected(GENERATIONS[engine], GENERATIONS[engine]) as (caller, answerer):
        caller.send(data)
        got = b""
        while more := answerer.receive():
            got += more
        assert got == data


CA = MeshCa()
GENERATIONS = {name: make(1, material(CA)) for name, make in ENGINES.items()}


@pytest.mark.parametrize("cut", [1, 7, RECORD, RECORD + 100])
def test_half_a_record_waits_for_its_other_half(mesh_ca: MeshCa, server_engine: Make, cut: int) -> None:
    make = server_engine
    with connected(make(1, material(mesh_ca)), make(1, material(mesh_ca))) as (caller, answerer):
        data = bytes(range(256)) * 128
        caller.wire[: len(data)] = data
        sealed = bytes(caller.records.seal(0, len(data)))
        caller.channel.sock.sendall(sealed[:cut])
        first = answerer.receive()
        caller.channel.sock.sendall(sealed[cut:])
        assert first + answerer.receive() == data


def test_the_peer_shows_its_certificate(mesh_ca: MeshCa, server_engine: Make, client_engine: Make) -> None:
    leaf = mesh_ca.leaf("api")
    server, client = server_engine(1, material(mesh_ca)), client_engine(1, material(mesh_ca, leaf))
    with connected(server, client) as (_, answerer):
        shown = answerer.channel.session.getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(leaf.certificate_pem)


@pytest.mark.parametrize("flaw", ["expired_leaf", "future_leaf", "another root"])
def test_a_flawed_caller_is_refused(
    mesh_ca: MeshCa, server_engine: Make, client_engine: Make, flaw: str
) -> None:
    leaf = MeshCa().leaf("api") if flaw == "another root" else getattr(mesh_ca, flaw)("api")
    server, client = server_engine(1, material(mesh_ca)), client_engine(1, material(mesh_ca, leaf))
    with pytest.raises(TLS_ERRORS) as caught, connected(server, client):
        pass
    assert getattr(caught.value, "reason", None) == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.parametrize("version", list(TlsVersion))
def test_a_range_of_one_version_pins_it_from_either_side(
    mesh_ca: MeshCa, server_engine: Make, client_engine: Make, version: TlsVersion
) -> None:
    anything = material(mesh_ca)
    pinned = dataclasses.replace(anything, versions=TlsVersions(minimum=version, maximum=version))
    for serving, calling in ((pinned, anything), (anything, pinned)):
        with connected(server_engine(1, serving), client_engine(1, calling)) as (caller, answerer):
            spoken = version.name.replace("_", ".")
            assert caller.channel.session.version() == answerer.channel.session.version() == spoken


def test_sides_without_a_common_version_do_not_connect(
    mesh_ca: MeshCa, server_engine: Make, client_engine: Make
) -> None:
    old, new = (
        dataclasses.replace(material(mesh_ca), versions=TlsVersions(minimum=version, maximum=version))
        for version in TlsVersion
    )
    for serving, calling in ((old, new), (new, old)):
        with (
            pytest.raises(TLS_ERRORS),
            connected(server_engine(1, serving), client_engine(1, calling)),
        ):
            pass


def test_a_caller_without_certificate_is_refused(mesh_ca: MeshCa, server_engine: Make) -> None:
    bare = client_context(None, mesh_ca.root_pem)
    bare.sslobject_class = StandardSession
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        near.setblocking(False)
        answerer = server_engine(1, material(mesh_ca)).accepted(far, hello=NOTHING_YET)
        with pytest.raises(TLS_ERRORS) as caught:
            shake(standard_channel(near, lambda *buffers: made(bare.wrap_bio(*buffers))), answerer)
    assert getattr(caught.value, "reason", None) == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_garbage_instead_of_a_handshake_is_an_error(mesh_ca: MeshCa, server_engine: Make) -> None:
    near, far = socket.socketpair()
    with near, far:
        channel = server_engine(1, material(mesh_ca)).accepted(far, hello=NOTHING_YET)
        channel.incoming.write(memoryview(b"GET / HTTP/1.1\r\n\r\n"))
        with pytest.raises(TLS_ERRORS) as caught:
            channel.handshake()
    assert getattr(caught.value, "reason", None) == "HTTP_REQUEST"


def test_a_record_that_was_changed_on_its_way_is_an_error(mesh_ca: MeshCa, server_engine: Make) -> None:
    make = server_engine
    with connected(make(1, material(mesh_ca)), make(1, material(mesh_ca))) as (caller, answerer):
        caller.wire[:5] = b"hello"
        sealed = bytearray(caller.records.seal(0, 5))
        sealed[-1] ^= 1
        caller.channel.sock.sendall(sealed)
        with pytest.raises(TLS_ERRORS):
            answerer.receive()


def test_a_session_is_resumed_and_still_shows_the_certificate(
    mesh_ca: MeshCa, server_engine: Make, client_engine: Make
) -> None:
    server, client = server_engine(1, material(mesh_ca)), client_engine(1, material(mesh_ca))
    with connected(server, client) as (caller, answerer):
        assert not caller.channel.session.session_reused
        answerer.send(b"x")  # the ticket comes before the first bytes
        caller.receive()
        client.sessions.proved(TARGET, caller.channel.session, offered=False)
    for _ in range(3):
        ticket = client.sessions.session_for(TARGET)
        assert ticket is not None
        with connected(server, client, ticket) as (caller, answerer):
            assert caller.channel.session.session_reused
            assert answerer.channel.session.session_reused
            assert answerer.channel.session.getpeercert(binary_form=True)


def test_tickets_may_wait_for_the_first_bytes(mesh_ca: MeshCa, server_engine: Make) -> None:
    tls = server_engine(1, material(mesh_ca))
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        caller = tls.dialled(near, resume=None)
        answerer = tls.accepted(far, hello=NOTHING_YET)
        shake(caller, answerer, rest_waits=True)
        with pytest.raises(BlockingIOError):
            near.recv(1)
        end = End(caller)
        End(answerer).send(b"x")
        assert end.receive() == b"x"
        assert caller.session.session.has_ticket


def test_a_session_ends_with_the_certificates_it_was_made_under(
    mesh_ca: MeshCa, server_engine: Make, client_engine: Make
) -> None:
    server, client = server_engine(1, material(mesh_ca)), client_engine(1, material(mesh_ca))
    with connected(server, client) as (caller, answerer):
        answerer.send(b"x")
        caller.receive()
        client.sessions.proved(TARGET, caller.channel.session, offered=False)
    renewed = server_engine(2, material(mesh_ca))
    with connected(renewed, client, client.sessions.session_for(TARGET)) as (caller, _):
        assert not caller.channel.session.session_reused


@pytest.mark.parametrize("spoilt", ["certificate_pem", "roots_pem", "private_key"])
def test_unusable_certificates_are_an_error_that_names_no_secret(
    mesh_ca: MeshCa, server_engine: Make, spoilt: str
) -> None:
    other = mesh_ca.leaf("other").private_key_pem
    values: dict[str, Any] = {
        "certificate_pem": "nothing",
        "roots_pem": "nothing",
        "private_key": Secret(other),
    }
    wrong = dataclasses.replace(material(mesh_ca), **{spoilt: values[spoilt]})
    with pytest.raises(ConfigurationError, match=r"the certificates for '.*/svc/web' cannot") as caught:
        server_engine(1, wrong)
    assert "PRIVATE KEY" not in str(caught.value)


def test_connections_in_garbage_are_freed(mesh_ca: MeshCa, server_engine: Make) -> None:
    make = server_engine
    for _ in range(3):
        with connected(make(1, material(mesh_ca)), make(1, material(mesh_ca))) as ends:
            loop: list[Any] = [ends]
            loop.append(loop)
            del ends, loop
        gc.collect()


def test_the_bundled_engine_is_chosen_where_it_is_complete(
    mesh_ca: MeshCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(generation(1, material(mesh_ca)), OpenSslGeneration)
    monkeypatch.setattr(openssl_library, "NEEDED", ("SSL_new", "SSL_of_the_future"))
    openssl_library.bundled.cache_clear()
    try:
        assert isinstance(generation(1, material(mesh_ca)), TlsGeneration)
    finally:
        monkeypatch.undo()
        openssl_library.bundled.cache_clear()
