"""An application's way out, with the instances behind an upstream played by the test."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from connect_proxy.mesh.endpoints import Endpoint, UpstreamEndpoints
from connect_proxy.mesh.registration import Upstream
from connect_proxy.snapshot.snapshot import ProxySnapshot
from support.applications import TcpServer
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot, leaf_of
from support.mesh_ca import Identity, MeshCa, server_context
from support.ports import free_port
from support.processes import wait_until


@contextlib.contextmanager
def instance(
    ca: MeshCa, identity: Identity, answer: bytes = b"", host: str = "127.0.0.1"
) -> Iterator[TcpServer]:
    """A public listener that proves *identity* and answers every message with *answer* (b"": echo)."""
    context = server_context(identity, ca.root_pem)

    def serve(raw: socket.socket) -> None:
        with context.wrap_socket(raw, server_side=True) as sock:
            while data := sock.recv(65536):
                sock.sendall(answer or data)

    with TcpServer(serve=serve, host=host) as server:
        yield server


def upstream(port: int, **fields: Any) -> Upstream:
    return Upstream(**{"destination_name": "db", "local_bind_port": port, **fields})


@contextlib.contextmanager
def sidecar(ca: MeshCa, *behind: Endpoint, **fields: Any) -> Iterator[tuple[Sidecar, int]]:
    """Of ``api`` with the upstream ``db``, and the upstream's port."""
    port = free_port()
    snapshot = first_snapshot(ca, "api", upstreams=[(upstream(port, **fields), behind)])
    with Sidecar(snapshot) as running:
        yield running, port


def ask(port: int, data: bytes = b"hello", host: str = "127.0.0.1") -> bytes:
    """The first bytes that come back; b"" where the connection was closed."""
    with contextlib.suppress(ConnectionError), socket.create_connection((host, port), timeout=60) as sock:
        sock.sendall(data)
        return sock.recv(65536)
    return b""


def test_the_instance_that_proves_to_be_the_service_is_reached(mesh_ca: MeshCa) -> None:
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
        sidecar(mesh_ca, endpoint("db", db.port)) as (client, port),
    ):
        assert ask(port) == b"hello"
        (state,) = wait_until(lambda: client.proxy.status()["upstreams"].get("db"), "a report")
        assert state["address"] == f"127.0.0.1:{db.port}"


def test_an_instance_that_proves_to_be_another_service_hears_nothing(mesh_ca: MeshCa) -> None:
    heard: list[bytes] = []
    context = server_context(mesh_ca.leaf("impostor"), mesh_ca.root_pem)

    def serve(raw: socket.socket) -> None:
        with context.wrap_socket(raw, server_side=True) as sock:
            heard.append(sock.recv(100))

    with (
        TcpServer(serve=serve) as impostor,
        sidecar(mesh_ca, endpoint("db", impostor.port)) as (client, port),
    ):
        assert ask(port) == b""
        client.wait_for_counter("outbound_attempts_failed.wrong_identity", 1)
    assert heard in ([], [b""])


def test_flawed_instances_are_refused(mesh_ca: MeshCa) -> None:
    flawed = {
        "another authority": MeshCa(trust_domain=mesh_ca.trust_domain).leaf("db"),
        "expired": mesh_ca.expired_leaf("db"),
        "two URIs": mesh_ca.leaf_with_two_uris("db", "web"),
        "CA:TRUE": mesh_ca.ca_leaf("db"),
        "wrong trust domain": mesh_ca.foreign_leaf("db"),
        "another datacenter": mesh_ca.leaf("db", datacenter="dc2"),
        "a gateway": mesh_ca.gateway_leaf(),
    }
    for name, identity in flawed.items():
        with (
            instance(mesh_ca, identity) as bad,
            sidecar(mesh_ca, endpoint("db", bad.port)) as (_, port),
        ):
            assert ask(port) == b"", name


def test_names_of_identities_compare_without_case(mesh_ca: MeshCa) -> None:
    with (
        instance(mesh_ca, mesh_ca.leaf("DB")) as db,
        sidecar(mesh_ca, endpoint("db", db.port)) as (_, port),
    ):
        assert ask(port) == b"hello"


def test_a_prepared_query_checks_the_identity_that_consuls_answer_names(mesh_ca: MeshCa) -> None:
    query = {"destination_name": "nearest", "destination_type": "prepared_query"}
    with instance(mesh_ca, mesh_ca.leaf("db-eu")) as db:
        with sidecar(mesh_ca, endpoint("db-eu", db.port), **query) as (_, port):
            assert ask(port) == b"hello"
        with sidecar(mesh_ca, endpoint("db-us", db.port), **query) as (_, port):
            assert ask(port) == b""


def test_another_instance_is_tried_when_one_fails(mesh_ca: MeshCa) -> None:
    dead = free_port()
    with (
        instance(mesh_ca, mesh_ca.leaf("impostor")) as impostor,
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
    ):
        query = {"destination_name": "q", "destination_type": "prepared_query"}
        behind = [endpoint("db", port) for port in (dead, impostor.port, db.port)]
        with sidecar(mesh_ca, *behind, **query) as (client, port):
            assert ask(port) == b"hello"
            client.wait_for_counter("outbound_attempts_failed.connect_failed", 1)
            client.wait_for_counter("outbound_attempts_failed.wrong_identity", 1)
            avoided = [state["avoided"] for state in client.proxy.status()["upstreams"]["prepared_query:q"]]
            assert avoided == [True, True, False]
            assert ask(port) == b"hello"
            assert client.counter("outbound_attempts_failed.connect_failed") == 1


def test_an_instance_that_never_answers_is_given_up_after_connect_timeout_ms(mesh_ca: MeshCa) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # accepts, and shakes no hands
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
    ):
        behind = [endpoint("db", silent.getsockname()[1]), endpoint("db", db.port)]
        fields = {
            "destination_name": "q",
            "destination_type": "prepared_query",
            "config": MappingProxyType({"connect_timeout_ms": "1000"}),
        }
        with sidecar(mesh_ca, *behind, **fields) as (client, port):
            assert ask(port) == b"hello"
            client.wait_for_counter("outbound_attempts_failed.timeout", 1)


def test_without_a_healthy_instance_the_application_is_closed(mesh_ca: MeshCa) -> None:
    with sidecar(mesh_ca, endpoint("db", free_port(), passing=False)) as (client, port):
        assert ask(port) == b""
        client.wait_for_counter("outbound_refused.no_healthy_instance", 1)


def unanswered(ca: MeshCa, port: int, **config: str) -> ProxySnapshot:
    """Of ``api`` with the upstream ``db``, of which Consul has said nothing yet."""
    db = upstream(port, config=MappingProxyType(config))
    snapshot = first_snapshot(ca, "api", upstreams=[(db, [])])
    return dataclasses.replace(
        snapshot, endpoints=MappingProxyType({db.id: UpstreamEndpoints(upstream_id=db.id, known=False)})
    )


def test_an_application_that_comes_before_consuls_word_on_its_upstream_waits_for_it(
    mesh_ca: MeshCa,
) -> None:
    port = free_port()
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
        Sidecar(unanswered(mesh_ca, port)) as client,
        socket.create_connection(("127.0.0.1", port), timeout=60) as early,
    ):
        early.sendall(b"hello")
        client.wait_for_counter("outbound_open", 1)
        assert client.counter("outbound_refused.no_healthy_instance") == 0
        client.set_upstreams([(upstream(port), [endpoint("db", db.port)])])
        assert early.recv(100) == b"hello"


def test_an_application_that_waits_for_consuls_word_is_closed_when_there_is_no_instance(
    mesh_ca: MeshCa,
) -> None:
    port = free_port()
    with (
        Sidecar(unanswered(mesh_ca, port)) as client,
        socket.create_connection(("127.0.0.1", port), timeout=60) as early,
    ):
        client.wait_for_counter("outbound_open", 1)
        client.set_upstreams([(upstream(port), [])])
        assert early.recv(100) == b""
        client.wait_for_counter("outbound_refused.no_healthy_instance", 1)


def test_an_application_that_waits_for_consuls_word_is_closed_with_its_upstream(mesh_ca: MeshCa) -> None:
    port = free_port()
    with (
        Sidecar(unanswered(mesh_ca, port)) as client,
        socket.create_connection(("127.0.0.1", port), timeout=60) as early,
    ):
        client.wait_for_counter("outbound_open", 1)
        client.set_upstreams([])
        assert early.recv(100) == b""


def test_no_application_waits_longer_for_consuls_word_than_for_an_instance(mesh_ca: MeshCa) -> None:
    port = free_port()
    with Sidecar(unanswered(mesh_ca, port, connect_timeout_ms="50")) as client:
        assert ask(port) == b""
        client.wait_for_counter("outbound_refused.no_healthy_instance", 1)


def test_an_application_that_leaves_before_consuls_word_leaves_nothing_behind(mesh_ca: MeshCa) -> None:
    port = free_port()
    with Sidecar(unanswered(mesh_ca, port)) as client:
        early = socket.create_connection(("127.0.0.1", port), timeout=60)
        client.wait_for_counter("outbound_open", 1)
        early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        early.close()
        client.wait_for_counter("outbound_refused.application_left", 1)
        client.set_upstreams([(upstream(port), [])])
        wait_until(lambda: client.counter("outbound_open") == 0, "nothing open")
        assert client.counter("outbound_refused.no_healthy_instance") == 0


def test_an_application_that_gives_up_waiting_leaves_nothing_behind(mesh_ca: MeshCa) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        sidecar(mesh_ca, endpoint("db", silent.getsockname()[1])) as (client, port),
    ):
        sock = socket.create_connection(("127.0.0.1", port))
        client.wait_for_counter("outbound_open", 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        client.wait_for_counter("outbound_refused.application_left", 1)
        wait_until(lambda: client.counter("outbound_open") == 0, "nothing open")


def test_upstreams_are_added_changed_and_removed_while_connections_run(mesh_ca: MeshCa) -> None:
    first, second, third = free_port(), free_port(), free_port()
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
        instance(mesh_ca, mesh_ca.leaf("cache"), b"cached") as cache,
    ):
        snapshot = first_snapshot(mesh_ca, "api", upstreams=[(upstream(first), [endpoint("db", db.port)])])
        with Sidecar(snapshot) as client, socket.create_connection(("127.0.0.1", first)) as running:
            running.sendall(b"one")
            assert running.recv(100) == b"one"
            cached = Upstream(destination_name="cache", local_bind_port=second)
            client.set_upstreams(
                [
                    (upstream(first), [endpoint("db", db.port)]),
                    (cached, [endpoint("cache", cache.port)]),
                ]
            )
            wait_until(lambda: ask_if_open(second) == b"cached", "the new upstream")
            client.set_upstreams([(upstream(third), [endpoint("db", db.port)])])
            wait_until(lambda: ask_if_open(third) == b"hello", "the moved upstream")
            wait_until(lambda: not is_open(first) and not is_open(second), "the old ports closed")
            running.sendall(b"two")
            assert running.recv(100) == b"two"


def test_two_upstreams_may_swap_their_ports(mesh_ca: MeshCa) -> None:
    one, two = free_port(), free_port()
    with (
        instance(mesh_ca, mesh_ca.leaf("db"), b"db") as db,
        instance(mesh_ca, mesh_ca.leaf("cache"), b"cache") as cache,
    ):

        def upstreams(db_port: int, cache_port: int) -> list[tuple[Upstream, list[Endpoint]]]:
            return [
                (upstream(db_port), [endpoint("db", db.port)]),
                (upstream(cache_port, destination_name="cache"), [endpoint("cache", cache.port)]),
            ]

        with Sidecar(first_snapshot(mesh_ca, "api", upstreams=upstreams(one, two))) as client:
            assert (ask(one), ask(two)) == (b"db", b"cache")
            client.set_upstreams(upstreams(two, one))
            wait_until(lambda: (ask_if_open(one), ask_if_open(two)) == (b"cache", b"db"), "the swap")


def test_new_instances_are_used_and_old_ones_keep_their_connections(mesh_ca: MeshCa) -> None:
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as old,
        instance(mesh_ca, mesh_ca.leaf("db"), b"new") as new,
        sidecar(mesh_ca, endpoint("db", old.port)) as (client, port),
        socket.create_connection(("127.0.0.1", port)) as running,
    ):
        running.sendall(b"one")
        assert running.recv(100) == b"one"
        client.set_upstreams([(upstream(port), [endpoint("db", new.port)])])
        wait_until(lambda: ask(port) == b"new", "the new instance")
        running.sendall(b"two")
        assert running.recv(100) == b"two"


def test_an_upstream_on_a_unix_socket_has_its_mode_and_goes_with_the_proxy(
    mesh_ca: MeshCa, tmp_path: Path
) -> None:
    path = tmp_path / "db.sock"
    with instance(mesh_ca, mesh_ca.leaf("db")) as db:
        by_socket = Upstream(
            destination_name="db", local_bind_socket_path=str(path), local_bind_socket_mode="0600"
        )
        snapshot = first_snapshot(mesh_ca, "api", upstreams=[(by_socket, [endpoint("db", db.port)])])
        with Sidecar(snapshot), socket.socket(socket.AF_UNIX) as sock:
            assert path.stat().st_mode & 0o777 == 0o600
            sock.connect(str(path))
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
    assert not path.exists()


def test_an_upstream_and_its_instance_may_be_on_ipv6(mesh_ca: MeshCa) -> None:
    with (
        instance(mesh_ca, mesh_ca.leaf("db"), host="::1") as db,
        sidecar(mesh_ca, endpoint("db", db.port, address="::1"), local_bind_address="::1") as (_, port),
    ):
        assert ask(port, host="::1") == b"hello"


def test_more_than_max_connections_of_an_upstream_are_turned_away(mesh_ca: MeshCa) -> None:
    config = MappingProxyType({"max_connections": 1})
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
        sidecar(mesh_ca, endpoint("db", db.port), config=config) as (client, port),
        socket.create_connection(("127.0.0.1", port)) as first,
    ):
        first.sendall(b"one")
        assert first.recv(100) == b"one"
        assert ask(port) == b""
        client.wait_for_counter("outbound_refused.limit", 1)


def test_an_expired_leaf_is_not_shown_to_upstreams_either(mesh_ca: MeshCa) -> None:
    with (
        instance(mesh_ca, mesh_ca.leaf("db")) as db,
        sidecar(mesh_ca, endpoint("db", db.port)) as (client, port),
    ):
        client.publish(leaf=leaf_of(mesh_ca.expired_leaf("api"), "api"))
        wait_until(lambda: client.proxy.status()["state"] == "leaf_expired", "the state")
        assert ask(port) == b""
        client.wait_for_counter("outbound_refused.leaf_expired", 1)
        assert db.arrived() == 0


def test_the_server_may_speak_first(mesh_ca: MeshCa) -> None:
    context = server_context(mesh_ca.leaf("db"), mesh_ca.root_pem)

    def greet(raw: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(raw, server_side=True) as sock:
            sock.sendall(b"220 ready")
            sock.recv(10)

    with (
        TcpServer(serve=greet) as db,
        sidecar(mesh_ca, endpoint("db", db.port)) as (_, port),
        socket.create_connection(("127.0.0.1", port), timeout=60) as sock,
    ):
        assert sock.recv(100) == b"220 ready"


def is_open(port: int) -> bool:
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=60):
        return True
    return False


def ask_if_open(port: int) -> bytes:
    return ask(port) if is_open(port) else b""
