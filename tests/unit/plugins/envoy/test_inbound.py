"""Counting what came from the mesh, by the names that a real Envoy gives its statistics."""

from __future__ import annotations

from connect_proxy.mesh.registration import Upstream
from connect_proxy_envoy.inbound import inbound_connections

ACTIVE = {
    "listener.0.0.0.0_21000.downstream_cx_active": 3,
    "listener.0.0.0.0_21000.worker_0.downstream_cx_active": 2,
    "listener.0.0.0.0_21000.worker_1.downstream_cx_active": 1,
    "listener.127.0.0.1_9191.downstream_cx_active": 10,
    "listener.[__1]_9192.downstream_cx_active": 20,
    "listener./run/cache.sock.downstream_cx_active": 40,
    "listener.admin.downstream_cx_active": 1,
    "listener.admin.main_thread.downstream_cx_active": 1,
    "cluster.db.upstream_cx_active": 7,
}
UPSTREAMS = (
    Upstream(destination_name="db", local_bind_port=9191),
    Upstream(destination_name="six", local_bind_address="::1", local_bind_port=9192),
    Upstream(destination_name="cache", local_bind_socket_path="/run/cache.sock"),
)


def test_only_what_came_from_the_mesh_is_counted_and_once() -> None:
    assert inbound_connections(ACTIVE, UPSTREAMS) == 3


def test_a_listener_that_is_no_upstream_counts_as_inbound() -> None:
    assert inbound_connections(ACTIVE, UPSTREAMS[:1]) == 63


def test_nothing_open_is_nothing() -> None:
    assert inbound_connections({}, UPSTREAMS) == 0
