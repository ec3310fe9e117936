from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy_builtin.rendering import effective_configuration

REGISTRATION = Registration(
    id="web-sidecar-proxy",
    name="web-sidecar-proxy",
    address="10.0.0.1",
    port=21000,
    destination_service_name="web",
    local_service_port=8080,
    config=MappingProxyType(
        {
            "handshake_timeout_ms": "2000",
            "workers": 2,
            "status_address": "unix:///run/web.sock",
            "access_log": "stderr",
            "tls_min_version": "TLSv1_3",
        }
    ),
    upstreams=(
        Upstream(
            destination_name="db",
            local_bind_port=5432,
            config=MappingProxyType({"connect_timeout_ms": 500}),
        ),
        Upstream(destination_name="near", destination_type="prepared_query", local_bind_socket_path="/n"),
    ),
)


def test_every_value_in_force_is_shown_defaults_included() -> None:
    shown = effective_configuration(REGISTRATION)
    assert json.loads(json.dumps(shown)) == {
        "proxy_id": "web-sidecar-proxy",
        "service": "web",
        "workers": 2,
        "status_address": "unix:///run/web.sock",
        "access_log": "stderr",
        "tls_min_version": "TLSv1_3",
        "tls_max_version": "TLSv1_3",
        "public_listener": {
            "address": "10.0.0.1:21000",
            "handshake_timeout_ms": 2000,
            "max_inbound_connections": 0,
            "idle_timeout_ms": 0,
            "tcp_keepalive_ms": 30000,
            "tcp_user_timeout_ms": 0,
        },
        "local_service": {
            "address": "127.0.0.1:8080",
            "connect_timeout_ms": 1000,
            "proxy_protocol": "",
        },
        "upstreams": [
            {
                "id": "db",
                "destination_type": "service",
                "destination_name": "db",
                "destination_namespace": "default",
                "datacenter": "",
                "listen": "127.0.0.1:5432",
                "connect_timeout_ms": 500,
                "max_connections": 0,
                "idle_timeout_ms": 0,
                "tcp_keepalive_ms": 30000,
                "tcp_user_timeout_ms": 0,
            },
            {
                "id": "prepared_query:near",
                "destination_type": "prepared_query",
                "destination_name": "near",
                "destination_namespace": "default",
                "datacenter": "",
                "listen": "unix:///n",
                "connect_timeout_ms": 10000,
                "max_connections": 0,
                "idle_timeout_ms": 0,
                "tcp_keepalive_ms": 30000,
                "tcp_user_timeout_ms": 0,
            },
        ],
    }


def test_a_malformed_key_is_named() -> None:
    wrong = Registration(
        id="web-sidecar-proxy", name="w", config=MappingProxyType({"handshake_timeout_ms": "soon"})
    )
    with pytest.raises(ConfigurationError, match="handshake_timeout_ms"):
        effective_configuration(wrong)
