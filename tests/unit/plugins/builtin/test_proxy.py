"""Two built-in sidecars and what passes through them, on real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest

from connect_proxy.mesh.registration import Upstream
from support.applications import TcpServer, echo_server
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot
from support.mesh_ca import MeshCa
from support.ports import free_port


@contextlib.contextmanager
def mesh(ca: MeshCa, application: TcpServer) -> Iterator[tuple[Sidecar, Sidecar, int]]:
    """Sidecar of ``web`` before *application*, sidecar of ``api`` whose upstream port is the last value."""
    public, local = free_port(), free_port()
    web = first_snapshot(ca, "web", public_port=public, application_port=application.port)
    upstream = Upstream(destination_name="web", local_bind_port=local)
    api = first_snapshot(ca, "api", upstreams=[(upstream, [endpoint("web", public)])])
    with Sidecar(web) as server, Sidecar(api) as client:
        yield server, client, local


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_bytes_pass_both_ways(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, client, port),
        dial(port) as app,
    ):
        app.sendall(b"hello")
        assert app.recv(100) == b"hello"
        app.shutdown(socket.SHUT_WR)
        assert app.recv(100) == b""
        server.wait_for_counter("inbound_ended", 1)
        client.wait_for_counter("outbound_ended", 1)
        assert server.counter("inbound_bytes_received") == 5
        assert server.counter("defects") == client.counter("defects") == 0


def test_a_large_transfer_arrives_unchanged_in_both_directions(mesh_ca: MeshCa) -> None:
    data = bytes(range(256)) * 4096 * 20
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (_server, _client, port),
        dial(port) as app,
    ):
        sender = threading.Thread(target=send_all, args=(app, data))
        sender.start()
        digest = hashlib.sha256()
        while received := app.recv(65536):
            digest.update(received)
        sender.join()
    assert digest.digest() == hashlib.sha256(data).digest()


def test_the_answer_to_a_half_closed_request_still_arrives(mesh_ca: MeshCa) -> None:
    def count_until_end(connection: socket.socket) -> None:
        total = 0
        while received := connection.recv(65536):
            total += len(received)
        connection.sendall(f"{total} bytes".encode())

    with (
        TcpServer(serve=count_until_end) as application,
        mesh(mesh_ca, application) as (_, _, port),
        dial(port) as app,
    ):
        app.sendall(b"x" * 70_000)
        app.shutdown(socket.SHUT_WR)
        assert app.recv(100) == b"70000 bytes"
        assert app.recv(100) == b""


def test_a_server_that_ends_first_can_still_be_written_to(mesh_ca: MeshCa) -> None:
    heard: list[bytes] = []
    done = threading.Event()

    def greet_and_listen(connection: socket.socket) -> None:
        connection.sendall(b"greetings")
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            heard.append(received)
        done.set()

    with (
        TcpServer(serve=greet_and_listen) as application,
        mesh(mesh_ca, application) as (_, _, port),
        dial(port) as app,
    ):
        assert app.recv(100) == b"greetings"
        assert app.recv(100) == b""
        app.sendall(b"late words")
        app.shutdown(socket.SHUT_WR)
        assert done.wait(10)
    assert b"".join(heard) == b"late words"


def test_a_denied_caller_never_reaches_the_application(mesh_ca: MeshCa) -> None:
    with echo_server() as application, mesh(mesh_ca, application) as (server, _client, port):
        server.consul.decide = lambda service: service != "api"
        with dial(port) as app:
            app.sendall(b"hello")
            with contextlib.suppress(ConnectionResetError):
                assert app.recv(100) == b""
        server.wait_for_counter("inbound_refused.denied", 1)
        assert application.accepted == 0


def test_a_connection_whose_source_lost_its_intention_is_closed(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, _client, port),
        dial(port) as app,
    ):
        app.sendall(b"hello")
        assert app.recv(100) == b"hello"
        server.consul.decide = lambda _service: False
        server.intentions_changed()
        with contextlib.suppress(ConnectionResetError):
            assert app.recv(100) == b""


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_bare_tcp_check_never_reaches_the_application_and_is_no_failed_handshake(
    mesh_ca: MeshCa, how: str
) -> None:
    with echo_server() as application:
        public = free_port()
        snapshot = first_snapshot(mesh_ca, "web", public_port=public, application_port=application.port)
        with Sidecar(snapshot) as server:
            check = socket.create_connection(("127.0.0.1", public))
            if how == "reset":
                check.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            check.close()
            server.wait_for_counter("inbound_refused.tcp_check", 1)
            assert server.counter("inbound_refused.handshake_failed") == 0
            assert application.accepted == 0
