"""Resumption against real servers: one of ours, and one that speaks as Go's do."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass

import pytest

from connect_proxy_builtin.policy import Target, tls_material
from connect_proxy_builtin.tls.contexts import TlsGeneration, tls_generation
from connect_proxy_builtin.tls.sessions import REFRESH_S, SessionStore
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa

TARGET = Target(address="10.0.0.1", port=1, expected_uri="spiffe://x")


def generation(ca: MeshCa, number: int = 1) -> TlsGeneration:
    return tls_generation(number, tls_material(leaf_of(ca.leaf("web"), "web"), roots_of(ca)))


def connection(
    server: TlsGeneration,
    client: TlsGeneration,
    resume: ssl.SSLSession | None = None,
    *,
    ticket: bool = True,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLObject:
    """The client's side after the handshake and a first byte."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server.server.maximum_version = version
    answering = server.answer(to_server, to_client, resuming=not ticket)
    calling = client.call(to_client, to_server, resume=resume)
    for side in (calling, answering, calling, answering):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    answering.write(b"x")
    assert calling.read(1) == b"x"
    return calling


def test_the_first_connection_has_nothing_to_resume(mesh_ca: MeshCa) -> None:
    assert SessionStore().session_for(TARGET) is None


def test_later_connections_resume_the_first_one(mesh_ca: MeshCa) -> None:
    tls, store = generation(mesh_ca), SessionStore()
    store.proved(TARGET, connection(tls, tls), offered=False)
    for _ in range(3):
        session = store.session_for(TARGET)
        assert session is not None
        resumed = connection(tls, tls, session, ticket=False)
        assert resumed.session_reused
        assert resumed.getpeercert(binary_form=True), "the identity can still be checked"
        store.proved(TARGET, resumed, offered=True)


def test_a_session_is_for_one_instance_and_one_identity(mesh_ca: MeshCa) -> None:
    tls, store = generation(mesh_ca), SessionStore()
    store.proved(TARGET, connection(tls, tls), offered=False)
    assert store.session_for(Target(address="10.0.0.1", port=1, expected_uri="spiffe://y")) is None
    assert store.session_for(Target(address="10.0.0.1", port=2, expected_uri="spiffe://x")) is None


def test_a_ticket_does_not_survive_the_servers_rotation(mesh_ca: MeshCa) -> None:
    old, new, client, store = (
        generation(mesh_ca),
        generation(mesh_ca, 2),
        generation(mesh_ca),
        SessionStore(),
    )
    store.proved(TARGET, connection(old, client), offered=False)
    session = store.session_for(TARGET)
    assert session is not None
    full = connection(new, client, session, ticket=False)
    assert not full.session_reused
    store.proved(TARGET, full, offered=True)
    assert store.session_for(TARGET) is None, "nothing to resume: the next hello asks for a ticket"


def test_nothing_is_resumed_after_a_failure(mesh_ca: MeshCa) -> None:
    tls, store = generation(mesh_ca), SessionStore()
    store.proved(TARGET, connection(tls, tls), offered=False)
    store.failed(TARGET)
    assert store.session_for(TARGET) is None


def test_a_newer_ticket_is_taken_after_a_while(mesh_ca: MeshCa) -> None:
    now = 0.0
    tls, store = generation(mesh_ca), SessionStore(clock=lambda: now)
    store.proved(TARGET, connection(tls, tls), offered=False)
    first = store.session_for(TARGET)
    store.proved(TARGET, connection(tls, tls), offered=False)
    assert store.session_for(TARGET) is first
    now = REFRESH_S + 1
    assert store.session_for(TARGET) is not first


def test_a_session_of_tls_1_2_is_resumed_too(mesh_ca: MeshCa) -> None:
    tls, store = generation(mesh_ca), SessionStore()
    old = ssl.TLSVersion.TLSv1_2
    store.proved(TARGET, connection(tls, tls, version=old), offered=False)
    session = store.session_for(TARGET)
    assert session is not None
    assert connection(tls, tls, session, version=old).session_reused


@dataclass(frozen=True)
class Given:
    ticket_lifetime_hint: int = 7200
    has_ticket: bool = True


@dataclass
class Looked:
    """A connection whose ticket comes when the test says so; how often it was looked at."""

    session_reused: bool = False
    given: Given | None = None
    looks: int = 0

    @property
    def session(self) -> Given | None:
        self.looks += 1
        return self.given


def test_of_many_connections_at_once_the_first_that_has_a_ticket_gives_it() -> None:
    store, connections = SessionStore(), [Looked() for _ in range(16)]
    for one in connections:
        assert store.session_for(TARGET) is None
        store.proved(TARGET, one, offered=False)
    connections[0].given = ticket = Given()
    assert ticket in [store.session_for(TARGET) for _ in range(4)], "the newest have none yet"
    store.proved(TARGET, Looked(session_reused=True), offered=True)
    assert store.session_for(TARGET) is ticket


@pytest.mark.parametrize(
    "given", [None, Given(has_ticket=False), Given(ticket_lifetime_hint=7 * 24 * 3600)]
)
def test_where_there_is_nothing_to_resume_each_question_costs_one_look(given: Given | None) -> None:
    store, connections = SessionStore(), [Looked(given=given) for _ in range(50)]
    for one in connections:
        assert store.session_for(TARGET) is None
        store.proved(TARGET, one, offered=False)
    assert sum(one.looks for one in connections) < len(connections)


def test_an_old_ticket_serves_until_there_is_a_newer_one() -> None:
    now = 0.0
    store = SessionStore(clock=lambda: now)
    old, new = Given(), Given(ticket_lifetime_hint=60)
    store.proved(TARGET, Looked(given=old), offered=False)
    assert store.session_for(TARGET) is old
    now = REFRESH_S + 1
    store.proved(TARGET, Looked(session_reused=True), offered=True)
    assert store.session_for(TARGET) is old, "the newest has none yet"
    store.proved(TARGET, Looked(session_reused=True, given=new), offered=True)
    assert store.session_for(TARGET) is new
