"""Callers of a sidecar's public listener, played by the test itself."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from connect_proxy.errors import AgentUnreachableError
from support.applications import TcpServer, echo_server
from support.builtin_sidecar import Sidecar, first_snapshot, leaf_of, roots_of
from support.mesh_ca import Identity, MeshCa, client_context
from support.ports import free_port
from support.processes import wait_until


@contextlib.contextmanager
def sidecar(
    ca: MeshCa,
    application: TcpServer | None = None,
    **snapshot: Any,
) -> Iterator[tuple[Sidecar, int]]:
    """Of ``web``, with its public port."""
    port = free_port()
    app_port = application.port if application else free_port()
    first = first_snapshot(ca, "web", public_port=port, application_port=app_port, **snapshot)
    with Sidecar(first) as running:
        yield running, port


def call(port: int, context: ssl.SSLContext, data: bytes = b"hello", host: str = "127.0.0.1") -> bytes:
    """What comes back for *data*; b"" where the caller was cut off."""
    try:
        with (
            socket.create_connection((host, port), timeout=60) as raw,
            context.wrap_socket(raw) as caller,
        ):
            caller.sendall(data)
            return caller.recv(65536)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_a_caller_with_a_good_certificate_gets_through(mesh_ca: MeshCa) -> None:
    with echo_server() as application, sidecar(mesh_ca, application) as (_, port):
        assert call(port, client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)) == b"hello"


def test_a_caller_of_tls_1_2_gets_through(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with echo_server() as application, sidecar(mesh_ca, application) as (_, port):
        assert call(port, context) == b"hello"


FLAWS: dict[str, Callable[[MeshCa], Identity]] = {
    "another authority": lambda ca: MeshCa(trust_domain=ca.trust_domain).leaf("api"),
    "expired": lambda ca: ca.expired_leaf("api"),
    "not yet valid": lambda ca: ca.future_leaf("api"),
    "no URI": lambda ca: ca.leaf_without_uri("api"),
    "two URIs": lambda ca: ca.leaf_with_two_uris("api", "web"),
    "CA:TRUE": lambda ca: ca.ca_leaf("api"),
    "for servers only": lambda ca: ca.leaf_for_usage("api", [ExtendedKeyUsageOID.SERVER_AUTH]),
    "wrong trust domain": lambda ca: ca.foreign_leaf("api"),
    "a gateway": lambda ca: ca.gateway_leaf(),
    "an agent": lambda ca: ca.agent_leaf(),
}


def test_a_caller_with_a_flawed_certificate_never_reaches_the_application(mesh_ca: MeshCa) -> None:
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        for name, flawed in FLAWS.items():
            assert call(port, client_context(flawed(mesh_ca), mesh_ca.root_pem)) == b"", name
        assert call(port, client_context(None, mesh_ca.root_pem)) == b"", "no certificate"
        assert application.arrived() == 0
        assert server.consul.questions == []


def test_garbage_instead_of_a_handshake_is_cut_off(mesh_ca: MeshCa) -> None:
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while stranger.recv(1000):
                pass
        server.wait_for_counter("inbound_refused.handshake_failed", 1)
        assert application.arrived() == 0


def test_who_leaves_in_the_middle_of_the_handshake_is_no_tcp_check(mesh_ca: MeshCa) -> None:
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
            caller.sendall(b"\x16\x03\x01")
        server.wait_for_counter("inbound_refused.handshake_failed", 1)
        assert server.counter("inbound_refused.tcp_check") == 0


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01"])
def test_a_slow_handshake_is_cut_off_after_handshake_timeout_ms(mesh_ca: MeshCa, begun: bytes) -> None:
    with (
        echo_server() as application,
        sidecar(mesh_ca, application, config={"handshake_timeout_ms": 100}) as (server, port),
        socket.create_connection(("127.0.0.1", port), timeout=60) as slow,
    ):
        slow.sendall(begun)
        assert slow.recv(1) == b""
        server.wait_for_counter("inbound_refused.handshake_timeout", 1)
        assert application.arrived() == 0


def test_a_dead_application_closes_the_caller_and_others_still_get_served(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with sidecar(mesh_ca) as (server, port):
        for _ in range(20):
            assert call(port, context) == b""
        server.wait_for_counter("inbound_refused.application_unreachable", 20)
        wait_until(lambda: server.counter("inbound_open") == 0, "nothing open")


def test_every_connection_is_authorised_but_consul_is_asked_once(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        assert {call(port, context) for _ in range(5)} == {b"hello"}
        # Asked again only by the looks right after the first snapshot.
        assert len(server.consul.questions) <= 3
        server.consul.decide = lambda _service: False
        server.intentions_changed()
        wait_until(lambda: call(port, context) == b"", "a refusal")


def test_while_consul_is_away_known_callers_stay_and_unknown_ones_are_refused(mesh_ca: MeshCa) -> None:
    known = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    unknown = client_context(mesh_ca.leaf("new"), mesh_ca.root_pem)
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        assert call(port, known) == b"hello"
        server.consul.decide = lambda _service: AgentUnreachableError("away")
        server.intentions_changed()
        wait_until(lambda: server.consul.questions and call(port, known) == b"hello", "the known caller")
        wait_until(lambda: server.proxy.status()["authorization_unanswered_since"], "a visible state")
        assert call(port, known) == b"hello"
        assert call(port, unknown) == b""
        server.consul.decide = lambda _service: True
        wait_until(lambda: call(port, unknown) == b"hello", "Consul back")
        wait_until(lambda: not server.proxy.status()["authorization_unanswered_since"], "a clear state")


def test_a_caller_that_leaves_while_it_is_being_authorised_is_let_go(mesh_ca: MeshCa) -> None:
    gate = threading.Event()
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        server.consul.decide = lambda _service: gate.wait(60)
        caller = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60))
        wait_until(lambda: server.consul.questions, "the question")
        caller.sendall(b"in a hurry")
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as check:
            check.shutdown(socket.SHUT_WR)
            assert check.recv(1) == b"", "the worker has come to what happened after the reset"
        gate.set()
        server.wait_for_counter("inbound_refused.caller_left", 1)
        wait_until(lambda: server.counter("inbound_open") == 0, "nothing open")
        assert server.counter("defects") == 0
        assert application.arrived() == 0


def test_more_than_max_inbound_connections_are_turned_away(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with (
        echo_server() as application,
        sidecar(mesh_ca, application, config={"max_inbound_connections": 1}) as (server, port),
    ):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60)) as first:
            first.sendall(b"one")
            assert first.recv(100) == b"one"
            assert call(port, context) == b""
            server.wait_for_counter("inbound_refused.limit", 1)
        wait_until(lambda: call(port, context) == b"hello", "room again")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with (
        echo_server() as application,
        sidecar(mesh_ca, application, config={"idle_timeout_ms": 2000}) as (_, port),
        context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60)) as busy,
        context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60)) as idle,
    ):
        idle.sendall(b"x")
        assert idle.recv(1) == b"x"
        over = threading.Event()

        def wait_for_the_end() -> None:
            with contextlib.suppress(OSError):
                idle.recv(1)
            over.set()

        thread = threading.Thread(target=wait_for_the_end)
        thread.start()
        while not over.wait(0.05):
            busy.sendall(b"y")
            assert busy.recv(1) == b"y"
        thread.join()
        busy.sendall(b"z")
        assert busy.recv(1) == b"z"


def test_a_stream_that_is_cut_off_reaches_the_application_as_a_reset(mesh_ca: MeshCa) -> None:
    ended: list[str] = []
    done = threading.Event()

    def listen(connection: socket.socket) -> None:
        try:
            while connection.recv(100):
                pass
            ended.append("orderly")
        except ConnectionResetError:
            ended.append("reset")
        done.set()

    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with TcpServer(serve=listen) as application, sidecar(mesh_ca, application) as (server, port):
        caller = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60))
        caller.sendall(b"half a message")
        server.wait_for_counter("inbound_handshakes", 1)
        wait_until(lambda: application.accepted, "the application's connection")
        caller.shutdown(socket.SHUT_RDWR)  # TCP ends, TLS does not
        caller.close()
        assert done.wait(60)
    assert ended == ["reset"]


def test_an_application_on_a_unix_socket_is_reached(mesh_ca: MeshCa, tmp_path: Path) -> None:
    path = str(tmp_path / "web.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())

    thread = threading.Thread(target=serve)
    thread.start()
    with sidecar(mesh_ca, local_service_socket_path=path) as (_, port):
        answer = call(port, client_context(mesh_ca.leaf("api"), mesh_ca.root_pem))
    thread.join()
    listener.close()
    assert answer == b"HELLO"


def test_the_public_listener_and_the_application_may_be_on_ipv6(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with (
        echo_server("::1") as application,
        sidecar(mesh_ca, application, address="::1", local_service_address="::1") as (_, port),
    ):
        assert call(port, context, host="::1") == b"hello"


def test_without_an_address_both_families_are_served(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with echo_server() as application, sidecar(mesh_ca, application, address="") as (_, port):
        assert call(port, context, host="::1") == b"hello"
        assert call(port, context, host="127.0.0.1") == b"hello"


def test_a_new_leaf_and_new_roots_serve_new_callers_and_keep_running_connections(mesh_ca: MeshCa) -> None:
    successor = mesh_ca.successor()
    old = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    new = client_context(successor.leaf("api"), successor.root_pem)
    with (
        echo_server() as application,
        sidecar(mesh_ca, application) as (server, port),
        old.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60)) as running,
    ):
        running.sendall(b"before")
        assert running.recv(100) == b"before"
        assert call(port, new) == b""
        server.publish(roots=roots_of(successor, mesh_ca), leaf=leaf_of(successor.leaf("web"), "web"))
        wait_until(lambda: call(port, new) == b"hello", "the new leaf in force")
        server.publish(roots=roots_of(successor))
        both = client_context(mesh_ca.leaf("api"), successor.root_pem)
        wait_until(lambda: call(port, both) == b"", "the old root gone")
        running.sendall(b"after")
        assert running.recv(100) == b"after"


def test_the_application_is_told_who_calls_by_proxy_protocol(mesh_ca: MeshCa) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with echo_server() as application:
        config = {"proxy_protocol": "v2"}
        with sidecar(mesh_ca, application, config=config, address="") as (_, port):
            for host, family in (("127.0.0.1", 0x11), ("::1", 0x21)):
                echoed = call(port, context, host=host)
                assert echoed.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([family]))
                assert mesh_ca.uri("api").encode() in echoed


def test_an_expired_leaf_is_never_shown(mesh_ca: MeshCa, caplog: pytest.LogCaptureFixture) -> None:
    context = client_context(mesh_ca.leaf("api"), mesh_ca.root_pem)
    with echo_server() as application, sidecar(mesh_ca, application) as (server, port):
        server.publish(leaf=leaf_of(mesh_ca.expired_leaf("web"), "web"))
        wait_until(lambda: server.proxy.status()["state"] == "leaf_expired", "the state")
        assert not server.proxy.is_ready()
        assert call(port, context) == b""
        server.wait_for_counter("inbound_refused.leaf_expired", 1)
        wait_until(lambda: "expired at" in caplog.text, "a line in the log")
        assert application.arrived() == 0
        server.publish(leaf=leaf_of(mesh_ca.leaf("web"), "web"))
        wait_until(lambda: call(port, context) == b"hello", "the new leaf in force")
        assert caplog.text.count("expired at") == 1
