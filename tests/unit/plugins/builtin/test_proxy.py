"""Two built-in sidecars and what passes through them, on real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from types import MappingProxyType

import pytest

from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy.mesh.registration import Upstream
from support.applications import TcpServer, echo_server
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot, leaf_of, roots_of
from support.mesh_ca import MeshCa
from support.ports import free_port
from support.processes import wait_until


@contextlib.contextmanager
def mesh(ca: MeshCa, application: TcpServer, **config: object) -> Iterator[tuple[Sidecar, Sidecar, int]]:
    """Sidecar of ``web`` before *application*, sidecar of ``api`` whose upstream port is the last value."""
    public, local = free_port(), free_port()
    web = first_snapshot(ca, "web", public_port=public, application_port=application.port, config=config)
    upstream = Upstream(destination_name="web", local_bind_port=local)
    behind = [(upstream, [endpoint("web", public)])]
    api = first_snapshot(ca, "api", config=config, upstreams=behind)
    with Sidecar(web) as server, Sidecar(api) as client:
        yield server, client, local


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


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
        assert done.wait(60)
    assert b"".join(heard) == b"late words"


def test_a_denied_caller_never_reaches_the_application(mesh_ca: MeshCa) -> None:
    with echo_server() as application, mesh(mesh_ca, application) as (server, _client, port):
        server.consul.decide = lambda service: service != "api"
        with dial(port) as app:
            app.sendall(b"hello")
            with contextlib.suppress(ConnectionResetError):
                assert app.recv(100) == b""
        server.wait_for_counter("inbound_refused.denied", 1)
        assert application.arrived() == 0


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
            assert application.arrived() == 0


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    # Reset: it was closed between the connection's arrival and its acceptance.
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError), dial(port):
        return False
    return True


def test_a_drain_with_nothing_open_ends_at_once(mesh_ca: MeshCa) -> None:
    with Sidecar(first_snapshot(mesh_ca, "web", public_port=free_port())) as server:
        server.drain(600)
        server.join()
        assert server.exit_code == 0
        assert server.proxy.status()["state"] == "ended"
        assert not server.proxy.is_ready()


def test_a_drain_closes_the_public_listener_first_and_ends_with_the_last_connection(
    mesh_ca: MeshCa,
) -> None:
    with echo_server() as application, mesh(mesh_ca, application) as (server, _client, port):
        public = server.snapshot.registration.port
        with dial(port) as app:
            app.sendall(b"before")
            assert app.recv(100) == b"before"
            server.drain(600)
            wait_until(lambda: refused(public), "the public listener closed")
            assert not server.proxy.is_ready()
            assert server.proxy.status()["state"] == "draining"
            server.publish()  # does not open it again
            wait_until(lambda: server.proxy.status()["snapshot_generation"] == 2, "the snapshot")
            assert refused(public)
            app.sendall(b"after")
            assert app.recv(100) == b"after"
            app.shutdown(socket.SHUT_WR)
            assert app.recv(100) == b""
        server.join()
        assert server.exit_code == 0


def test_upstream_listeners_go_on_accepting_during_a_drain(mesh_ca: MeshCa) -> None:
    with echo_server() as application, mesh(mesh_ca, application) as (_server, client, port):
        with dial(port) as first:
            first.sendall(b"one")
            assert first.recv(100) == b"one"
            client.drain(600)
            wait_until(lambda: client.proxy.status()["state"] == "draining", "draining")
            with dial(port) as second:
                second.sendall(b"two")
                assert second.recv(100) == b"two"
        client.join()
        assert client.exit_code == 0


def test_a_drain_ends_after_its_time(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, _client, port),
        dial(port) as app,
    ):
        app.sendall(b"one")
        assert app.recv(100) == b"one"
        server.drain(0.05)
        server.join()
        assert server.exit_code == 0


def test_several_workers_share_the_listeners(mesh_ca: MeshCa) -> None:
    with echo_server() as application, mesh(mesh_ca, application, workers=3) as (server, client, port):
        for _ in range(30):
            with dial(port) as app:
                app.sendall(b"hello")
                assert app.recv(100) == b"hello"
        server.wait_for_counter("inbound_handshakes", 30)

        def workers() -> set[int]:
            return {state["worker"] for state in client.proxy.status()["upstreams"]["web"]}

        wait_until(lambda: workers() == {0, 1, 2}, "a report of every worker")
        with dial(port) as app:
            app.sendall(b"hello")
            assert app.recv(100) == b"hello"
            server.consul.decide = lambda _service: False
            server.intentions_changed()
            with contextlib.suppress(ConnectionResetError):
                assert app.recv(100) == b""
        server.drain(600)
        server.join()
        assert server.exit_code == 0


def is_served(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        sock.sendall(b"hello")
        return sock.recv(100) == b"hello"
    return False


def test_a_limit_on_callers_is_one_for_all_workers(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application, workers=3, max_inbound_connections=2) as (server, _client, port),
        contextlib.ExitStack() as stack,
    ):
        callers = [stack.enter_context(dial(port)) for _ in range(12)]
        assert [is_served(caller) for caller in callers].count(True) == 2
        server.wait_for_counter("inbound_refused.limit", 10)
        wait_until(lambda: server.counter("inbound_open") == 2, "the others gone")


def test_a_limit_of_an_upstream_is_one_for_all_workers(mesh_ca: MeshCa) -> None:
    public, local = free_port(), free_port()
    upstream = Upstream(
        destination_name="web", local_bind_port=local, config=MappingProxyType({"max_connections": "2"})
    )
    with echo_server() as application, contextlib.ExitStack() as stack:
        web = first_snapshot(mesh_ca, "web", public_port=public, application_port=application.port)
        behind = [(upstream, [endpoint("web", public)])]
        api = first_snapshot(mesh_ca, "api", config={"workers": 3}, upstreams=behind)
        stack.enter_context(Sidecar(web))
        client = stack.enter_context(Sidecar(api))
        callers = [stack.enter_context(dial(local)) for _ in range(12)]
        assert [is_served(caller) for caller in callers].count(True) == 2
        client.wait_for_counter("outbound_refused.limit", 10)
        wait_until(lambda: client.counter("outbound_open") == 2, "the others gone")


def test_a_public_port_that_is_taken_ends_the_program_and_names_the_holder(mesh_ca: MeshCa) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(PortInUseError, match=rf"public listener: '127.0.0.1:{port}'.*pid {os.getpid()}"),
            Sidecar(first_snapshot(mesh_ca, "web", public_port=port)),
        ):
            pass


def test_an_upstream_port_that_is_taken_at_the_start_ends_the_program_too(mesh_ca: MeshCa) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        upstream = Upstream(destination_name="db", local_bind_port=taken.getsockname()[1])
        snapshot = first_snapshot(mesh_ca, "web", public_port=free_port(), upstreams=[(upstream, [])])
        with pytest.raises(PortInUseError, match="upstream 'db'"), Sidecar(snapshot):
            pass


def test_an_upstream_port_that_is_taken_later_is_tried_again_and_the_rest_goes_on(
    mesh_ca: MeshCa, caplog: pytest.LogCaptureFixture
) -> None:
    public = free_port()
    with (
        socket.create_server(("127.0.0.1", free_port())) as taken,
        Sidecar(first_snapshot(mesh_ca, "web", public_port=public)) as server,
    ):
        port = taken.getsockname()[1]
        server.set_upstreams([(Upstream(destination_name="db", local_bind_port=port), [])])
        wait_until(lambda: "db" in server.proxy.status()["listener_failures"], "the failure")
        assert f"upstream 'db': '127.0.0.1:{port}' is in use" in caplog.text
        assert not server.proxy.is_ready()
        assert not refused(public)
        taken.close()
        wait_until(server.proxy.is_ready, "the port taken over")


def test_what_opens_later_is_warned_of_and_what_was_open_at_the_launch_has_been(
    mesh_ca: MeshCa, caplog: pytest.LogCaptureFixture
) -> None:
    first, later = (
        Upstream(destination_name=name, local_bind_port=free_port(), local_bind_address="0.0.0.0")
        for name in ("db", "cache")
    )
    snapshot = first_snapshot(mesh_ca, "web", public_port=free_port(), upstreams=[(first, [])])
    with Sidecar(snapshot) as server:
        server.set_upstreams([(first, []), (later, [])])
        wait_until(lambda: "upstream 'cache' listens on 0.0.0.0" in caplog.text, "the warning")
    assert not [text for text in caplog.messages if "'db'" in text and "not loopback" in text]


def test_a_configuration_that_makes_no_sense_ends_the_start(mesh_ca: MeshCa) -> None:
    snapshot = first_snapshot(mesh_ca, "web", public_port=free_port(), config={"bind_port": "http"})
    with pytest.raises(ConfigurationError, match="bind_port"), Sidecar(snapshot):
        pass


def test_a_later_configuration_that_makes_no_sense_leaves_the_one_before_in_force(
    mesh_ca: MeshCa,
) -> None:
    public = free_port()
    with Sidecar(first_snapshot(mesh_ca, "web", public_port=public)) as server:
        registration = server.snapshot.registration
        wrong = dataclasses.replace(registration, config=MappingProxyType({"bind_port": "http"}))
        server.publish(registration=wrong)
        wait_until(lambda: "rejected_configuration" in server.proxy.status(), "the rejection")
        assert not refused(public)
        server.publish(registration=registration)
        wait_until(lambda: "rejected_configuration" not in server.proxy.status(), "the good one")


def test_the_public_listener_moves_when_its_port_changes(mesh_ca: MeshCa) -> None:
    old, new = free_port(), free_port()
    with Sidecar(first_snapshot(mesh_ca, "web", public_port=old)) as server:
        server.publish(registration=dataclasses.replace(server.snapshot.registration, port=new))
        wait_until(lambda: not refused(new) and refused(old), "the move")


def test_a_rotation_under_load_drops_nothing(mesh_ca: MeshCa) -> None:
    successor = mesh_ca.successor()
    both = roots_of(successor, mesh_ca)
    failures: list[str] = []
    over = threading.Event()

    def load(port: int) -> None:
        with dial(port) as kept:
            while not over.is_set():
                with dial(port) as app:
                    for sock in (kept, app):
                        sock.sendall(b"hello")
                        if sock.recv(100) != b"hello":
                            failures.append("cut off")

    with echo_server() as application, mesh(mesh_ca, application) as (server, client, port):
        thread = threading.Thread(target=load, args=(port,))
        thread.start()
        for ca in (mesh_ca, successor, mesh_ca, successor) * 3:
            for sidecar, service in ((server, "web"), (client, "api")):
                done = server.counter("inbound_handshakes")
                sidecar.publish(roots=both, leaf=leaf_of(ca.leaf(service), service))
                server.wait_for_counter("inbound_handshakes", done + 3)
        over.set()
        thread.join()
    assert failures == []


def test_the_log_level_changes_while_it_runs(mesh_ca: MeshCa) -> None:
    logger = logging.getLogger("connect_proxy")
    before = logger.level
    try:
        with Sidecar(first_snapshot(mesh_ca, "web", public_port=free_port())) as server:
            server.proxy.set_log_level("WARN")
            assert logger.level == logging.WARNING
            server.proxy.set_log_level("trace")
            assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
