"""Several workers are one proxy: what is decided, limited, counted and drained holds for all of them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from connect_proxy.mesh.registration import Upstream
from support.applications import TcpServer, echo_server
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot
from support.mesh_ca import MeshCa
from support.ports import free_port
from support.processes import wait_until

WORKERS = 2
BURST = 8
LIMITS: Mapping[str, object] = MappingProxyType({"workers": WORKERS})


@contextlib.contextmanager
def mesh(ca: MeshCa, application: TcpServer, **config: object) -> Iterator[tuple[Sidecar, Sidecar, int]]:
    """As many workers on both sides; ``api`` calls ``web`` by way of the port."""
    public, local = free_port(), free_port()
    config = {**LIMITS, **config}
    web = first_snapshot(ca, "web", public_port=public, application_port=application.port, config=config)
    upstream = Upstream(destination_name="web", local_bind_port=local)
    behind = [(upstream, [endpoint("web", public)])]
    api = first_snapshot(ca, "api", config=config, upstreams=behind)
    with Sidecar(web) as server, Sidecar(api) as client:
        yield server, client, local


def spread(server: Sidecar, client: Sidecar, port: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Open connections that work, until every worker of both sides has some."""
    opened: list[socket.socket] = []

    def everybody_has_some() -> bool:
        burst = [stack.enter_context(dial(port)) for _ in range(BURST)]
        opened.extend(burst)
        for sock in burst:
            sock.sendall(b"hello")
        for sock in burst:
            assert sock.recv(100) == b"hello"
        return all(open_by_worker(server, "inbound")) and all(open_by_worker(client, "outbound"))

    wait_until(everybody_has_some, "connections on every worker")
    return opened


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def open_by_worker(sidecar: Sidecar, direction: str) -> list[int]:
    """Of this moment, by worker."""
    return [each[f"{direction}_open"] for each in sidecar.status_now()["workers"]]


def is_closed(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(100) == b""
    return True


def test_a_lost_intention_closes_the_connections_of_every_worker(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, client, port),
        contextlib.ExitStack() as stack,
    ):
        opened = spread(server, client, port, stack)
        server.consul.decide = lambda _service: False
        server.intentions_changed()
        assert all(is_closed(sock) for sock in opened)
        wait_until(lambda: open_by_worker(server, "inbound") == [0] * WORKERS, "nothing left anywhere")
        assert server.status_now()["counters"]["inbound_refused.denied"] == len(opened)


def test_figures_of_all_workers_add_up(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, client, port),
        contextlib.ExitStack() as stack,
    ):
        opened = len(spread(server, client, port, stack))
        expected = dict.fromkeys(("open", "accepted", "handshakes"), opened)
        expected |= dict.fromkeys(("bytes_received", "bytes_sent"), 5 * opened)
        for side, direction in ((server, "inbound"), (client, "outbound")):
            wait_until(
                lambda side=side, direction=direction: figures(side, direction, expected) == expected,  # type: ignore[misc]
                f"{expected}: {figures(side, direction, expected)}",
            )
            assert sum(open_by_worker(side, direction)) == opened


def figures(sidecar: Sidecar, direction: str, names: Iterable[str]) -> dict[str, int]:
    counters = sidecar.status_now()["counters"]
    return {name: counters.get(f"{direction}_{name}", 0) for name in names}


def test_a_drain_waits_for_the_last_connection_of_every_worker(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, client, port),
        contextlib.ExitStack() as stack,
    ):
        opened = spread(server, client, port, stack)
        server.drain(600)
        wait_until(lambda: server.proxy.status()["state"] == "draining", "the drain")
        while len(opened) > 1:  # whoever has the last one, the other worker is done before
            opened.pop().close()
        wait_until(lambda: sum(open_by_worker(server, "inbound")) == 1, "the last one alone")
        assert server.exit_code is None
        opened[0].sendall(b"still served")
        assert opened[0].recv(100) == b"still served"
        opened[0].close()
        server.join()
        assert server.exit_code == 0


def test_every_worker_follows_a_change_of_the_instances(mesh_ca: MeshCa) -> None:
    with (
        echo_server() as application,
        mesh(mesh_ca, application) as (server, client, port),
        contextlib.ExitStack() as stack,
    ):
        opened = spread(server, client, port, stack)
        upstream = client.snapshot.registration.upstreams[0]
        client.set_upstreams([(upstream, [])])
        wait_until(lambda: client.proxy.status()["upstreams"] == {"web": []}, "no instance anywhere")
        for _ in range(BURST):
            with dial(port) as caller:
                assert is_closed(caller)
        for sock in opened:
            sock.sendall(b"goes on")
            assert sock.recv(100) == b"goes on"
        client.set_upstreams([(upstream, [endpoint("web", server.snapshot.registration.port)])])
        wait_until(lambda: len(client.proxy.status()["upstreams"]["web"]) == WORKERS, "the new instance")
        spread(server, client, port, stack)
