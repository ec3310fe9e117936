"""Registrations that cover what the Envoy backend can be asked for: goldens and real Envoys take them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connect_proxy.mesh.intentions import HeaderMatch, Permission
from connect_proxy.mesh.registration import Upstream
from connect_proxy_envoy.resources.type_urls import HTTP_MANAGER, ROUTER, TCP_PROXY
from support.envoy_snapshot import endpoint, intention

DB = Upstream(destination_name="db", local_bind_port=9191)
QUERY = Upstream(
    destination_type="prepared_query",
    destination_name="geo-cache",
    local_bind_port=8181,
    config={"connect_timeout_ms": 1500},
)


def _hatch_listener(name: str, port: int) -> str:
    return json.dumps(
        {
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": name,
            "address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}},
            "filterChains": [
                {
                    "filters": [
                        {
                            "name": "envoy.filters.network.tcp_proxy",
                            "typedConfig": {
                                "@type": TCP_PROXY,
                                "statPrefix": "mine",
                                "cluster": "local_app",
                            },
                        }
                    ]
                }
            ],
        }
    )


HATCH_CLUSTER = json.dumps(
    {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "mine",
        "type": "STATIC",
        "connectTimeout": "3s",
        "transportSocketMatches": [],
        "loadAssignment": {
            "clusterName": "mine",
            "endpoints": [
                {
                    "lbEndpoints": [
                        {
                            "endpoint": {
                                "address": {"socketAddress": {"address": "10.0.0.9", "portValue": 1}}
                            }
                        }
                    ]
                }
            ],
        },
    }
)

_HTTP_LISTENER = json.dumps(
    {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "own_http",
        "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 11113}},
        "filterChains": [
            {
                "filters": [
                    {
                        "name": "http",
                        "typed_config": {
                            "@type": HTTP_MANAGER,
                            "statPrefix": "mine",
                            "routeConfig": {"name": "none"},
                            "http_filters": [
                                {"name": "envoy.filters.http.router", "typedConfig": {"@type": ROUTER}}
                            ],
                        },
                    }
                ]
            },
            {
                "filterChainMatch": {"destinationPort": 1},
                "filters": [
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typedConfig": {"@type": TCP_PROXY, "statPrefix": "mine", "cluster": "local_app"},
                    }
                ],
            },
        ],
    }
)

CASES: dict[str, Mapping[str, Any]] = {
    "defaults": {},
    "no-public-port": {"port": 0, "upstreams": [DB], "found": {"db": []}},
    "bound-elsewhere": {
        "address": "10.0.0.5",
        "config": {
            "bind_address": "::1",
            "bind_port": "21999",
            "local_connect_timeout_ms": 250,
            "max_inbound_connections": 100,
            "balance_inbound_connections": "exact_balance",
        },
    },
    "registered-address": {"address": "10.0.0.5", "local_service_address": "127.0.0.2"},
    "socket-application": {"local_service_socket_path": "/run/web.sock"},
    "intentions-default-deny": {
        "default_allow": False,
        "intentions": [
            intention("web", allow=True),
            intention("unsafe", allow=False),
            intention("cron", allow=True),
            intention("*", allow=True),
        ],
    },
    "intentions-default-allow": {
        "intentions": [intention("a.b", allow=False), intention("*", allow=False, destination="*")]
    },
    "upstreams": {
        "upstreams": [
            DB,
            Upstream(destination_name="db", datacenter="dc2", local_bind_port=9192),
            Upstream(
                destination_name="cache",
                local_bind_socket_path="/run/cache.sock",
                local_bind_socket_mode="0600",
                config={
                    "connect_timeout_ms": 1000,
                    "limits": {"max_connections": 3, "max_pending_requests": 0},
                    "passive_health_check": {
                        "interval": "22s",
                        "max_failures": 4,
                        "enforcing_consecutive_5xx": 0,
                    },
                    "xds_fetch_timeout_ms": 0,
                    "balance_outbound_connections": "exact_balance",
                },
            ),
            QUERY,
        ],
        "found": {
            "db": [
                endpoint("db"),
                endpoint("db", address="fd00::2", weight=500),
                endpoint("db", address="10.0.0.3", passing=False),
                endpoint("db", address="10.0.0.4", weight=0),
            ],
            "db?dc=dc2": [],
            "cache": [],
            "prepared_query:geo-cache": [
                endpoint("cache", datacenter="dc2"),
                endpoint("cache-old", address="10.0.0.7"),
                endpoint("cache", datacenter="dc2", address="10.0.0.8"),
            ],
        },
    },
    "query-without-results": {"upstreams": [QUERY], "found": {"prepared_query:geo-cache": []}},
    "upstream-not-known-yet": {"upstreams": [DB]},
    "endpoint-by-name": {"upstreams": [DB], "found": {"db": [endpoint("db", address="localhost")]}},
    "http": {
        "config": {"protocol": "HTTP", "local_request_timeout_ms": 3000, "local_idle_timeout_ms": 60000},
        "upstreams": [Upstream(destination_name="db", local_bind_port=9191, config={"protocol": "http"})],
        "found": {"db": [endpoint("db")]},
    },
    "http2": {
        "config": {"protocol": "http2"},
        "upstreams": [Upstream(destination_name="db", local_bind_port=9191, config={"protocol": "http2"})],
        "found": {"db": [endpoint("db")]},
    },
    "grpc": {
        "config": {"protocol": "grpc"},
        "upstreams": [Upstream(destination_name="db", local_bind_port=9191, config={"protocol": "grpc"})],
        "found": {"db": [endpoint("db")]},
    },
    "http-permissions": {
        "config": {"protocol": "http"},
        "default_allow": False,
        "intentions": [
            intention(
                "api",
                allow=False,
                permissions=(
                    Permission(allow=False, path_prefix="/admin"),
                    Permission(
                        allow=True,
                        path_regex="/v[12]/.*",
                        methods=("GET", "HEAD"),
                        headers=(
                            HeaderMatch(name="x-kind", exact="A", ignore_case=True),
                            HeaderMatch(name="x-debug", present=True, invert=True),
                        ),
                    ),
                ),
            ),
            intention("cron", allow=True),
            intention("*", allow=True),
        ],
    },
    "tcp-permissions": {
        "intentions": [intention("api", allow=False, permissions=(Permission(allow=True),))],
    },
    "http-own-listener": {
        "config": {"protocol": "http", "envoy_public_listener_json": _HTTP_LISTENER},
        "default_allow": False,
        "intentions": [intention("api", allow=True)],
    },
    "exposed-paths": {
        "expose": {
            "Paths": [
                {"Path": "/health", "ListenerPort": 21500, "LocalPathPort": 8080, "Protocol": "http"},
                {
                    "Path": "/grpc.health/v1",
                    "ListenerPort": 21501,
                    "LocalPathPort": 9090,
                    "Protocol": "http2",
                },
            ]
        }
    },
    "escape-hatches": {
        "config": {"envoy_public_listener_json": _hatch_listener("own_public", 11111)},
        "upstreams": [
            Upstream(
                destination_name="db",
                local_bind_port=9191,
                config={
                    "envoy_cluster_json": HATCH_CLUSTER,
                    "envoy_listener_json": _hatch_listener("own_upstream", 11112),
                },
            )
        ],
        "found": {"db": [endpoint("db")]},
    },
}
