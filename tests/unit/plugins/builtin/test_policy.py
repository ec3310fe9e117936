from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy_builtin.policy import (
    SocketAddress,
    inbound_policy,
    plane_policy,
    public_address,
    upstream_policy,
)
from support.builtin_sidecar import endpoint, first_snapshot
from support.mesh_ca import MeshCa


def registration(config: dict[str, Any] | None = None, **fields: Any) -> Registration:
    return Registration(
        id="web-1-sidecar-proxy",
        name="web-sidecar-proxy",
        destination_service_name="web",
        config=MappingProxyType(config or {}),
        **fields,
    )


def test_the_public_listener_is_at_the_registrations_address_and_port() -> None:
    assert public_address(registration(address="10.1.1.1", port=21000)) == SocketAddress(
        host="10.1.1.1", port=21000
    )


def test_no_address_means_all_interfaces() -> None:
    assert public_address(registration(port=21000)) == SocketAddress(host="", port=21000)


def test_bind_address_and_bind_port_win() -> None:
    config = {"bind_address": "::1", "bind_port": "20000"}
    assert public_address(registration(config, address="10.1.1.1", port=1)) == SocketAddress(
        host="::1", port=20000
    )


def test_without_a_port_there_is_no_public_listener() -> None:
    assert public_address(registration()) is None


def test_the_application_is_where_the_registration_says() -> None:
    policy = inbound_policy(registration(local_service_address="127.0.0.2", local_service_port=8080))
    assert policy.application == SocketAddress(host="127.0.0.2", port=8080)


@pytest.mark.parametrize(
    ("configured", "address"),
    [
        ("[::1]:8080", SocketAddress(host="::1", port=8080)),
        ("unix:///run/web.sock", SocketAddress(path="/run/web.sock")),
    ],
)
def test_local_service_address_in_the_config_wins(configured: str, address: SocketAddress) -> None:
    policy = inbound_policy(registration({"local_service_address": configured}, local_service_port=1))
    assert policy.application == address


def test_a_socket_path_of_the_registration_is_the_application() -> None:
    policy = inbound_policy(registration(local_service_socket_path="/run/web.sock"))
    assert policy.application == SocketAddress(path="/run/web.sock")


def test_the_defaults_are_those_of_consuls_proxy() -> None:
    policy = inbound_policy(registration())
    assert (policy.connect_timeout_s, policy.handshake_timeout_s) == (1.0, 10.0)
    upstream = upstream_policy(
        Upstream(destination_name="db"), UpstreamEndpoints(upstream_id="db"), trust_domain="t"
    )
    assert upstream.connect_timeout_s == 10.0
    assert upstream.listen.host == "127.0.0.1"


def test_limits_and_timeouts_come_from_the_config() -> None:
    config = {
        "local_connect_timeout_ms": 200,
        "handshake_timeout_ms": "300",
        "max_inbound_connections": 7,
        "idle_timeout_ms": 400,
        "tcp_keepalive_ms": 5000,
        "tcp_user_timeout_ms": 6000,
    }
    policy = inbound_policy(registration(config))
    assert (policy.connect_timeout_s, policy.handshake_timeout_s) == (0.2, 0.3)
    assert dataclasses.astuple(policy.limits) == (7, 0.4, 5.0, 6.0)


@pytest.mark.parametrize("raw", [1500, 1500.0, "1500"])
def test_an_upstreams_connect_timeout_may_be_a_number_or_a_string(raw: object) -> None:
    upstream = Upstream(destination_name="db", config=MappingProxyType({"connect_timeout_ms": raw}))
    policy = upstream_policy(upstream, UpstreamEndpoints(upstream_id="db"), trust_domain="t")
    assert policy.connect_timeout_s == 1.5


def test_a_malformed_value_names_the_upstream_and_the_key() -> None:
    upstream = Upstream(destination_name="db", config=MappingProxyType({"connect_timeout_ms": "soon"}))
    with pytest.raises(ConfigurationError, match=r"upstream 'db': connect_timeout_ms"):
        upstream_policy(upstream, UpstreamEndpoints(upstream_id="db"), trust_domain="t")


def test_only_passing_instances_are_dialled() -> None:
    behind = (endpoint("db", 1), endpoint("db", 2, passing=False))
    policy = upstream_policy(
        Upstream(destination_name="db"),
        UpstreamEndpoints(upstream_id="db", endpoints=behind),
        trust_domain="t",
    )
    assert [target.port for target in policy.targets] == [1]


def test_a_service_upstream_expects_the_service_that_was_asked_for() -> None:
    """Not the one that the instance claims to stand for."""
    behind = (endpoint("impostor", 1, datacenter="dc2"),)
    policy = upstream_policy(
        Upstream(destination_name="DB", datacenter="dc2"),
        UpstreamEndpoints(upstream_id="x", endpoints=behind),
        trust_domain="T.consul",
    )
    assert policy.targets[0].expected_uri == "spiffe://t.consul/ns/default/dc/dc2/svc/db"


def test_a_prepared_query_expects_what_consuls_answer_names() -> None:
    upstream = Upstream(destination_name="nearest-db", destination_type="prepared_query")
    behind = (endpoint("db-eu", 1, datacenter="eu"), endpoint("db-us", 2, datacenter="us"))
    policy = upstream_policy(
        upstream, UpstreamEndpoints(upstream_id=upstream.id, endpoints=behind), trust_domain="t"
    )
    assert policy.prefer_order
    assert [target.expected_uri for target in policy.targets] == [
        "spiffe://t/ns/default/dc/eu/svc/db-eu",
        "spiffe://t/ns/default/dc/us/svc/db-us",
    ]


def test_an_upstream_may_listen_on_a_unix_socket() -> None:
    upstream = Upstream(
        destination_name="db", local_bind_socket_path="/run/db.sock", local_bind_socket_mode="0600"
    )
    policy = upstream_policy(upstream, UpstreamEndpoints(upstream_id="db"), trust_domain="t")
    assert policy.listen == SocketAddress(path="/run/db.sock", mode=0o600)


def test_an_upstream_that_consul_has_not_answered_for_is_unknown(mesh_ca: MeshCa) -> None:
    snapshot = first_snapshot(
        mesh_ca, "api", upstreams=[(Upstream(destination_name="db", local_bind_port=1), [])]
    )
    snapshot = dataclasses.replace(snapshot, endpoints=MappingProxyType({}))
    assert not plane_policy(snapshot).upstreams[0].known


def test_the_key_is_not_shown(mesh_ca: MeshCa) -> None:
    policy = plane_policy(first_snapshot(mesh_ca, "web"))
    assert "PRIVATE KEY" in policy.tls.private_key.reveal()
    assert "PRIVATE KEY" not in repr(policy)
