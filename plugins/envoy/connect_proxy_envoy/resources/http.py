"""HTTP, HTTP/2 and gRPC with one plain route to one cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.names import duration
from connect_proxy_envoy.resources.protocol import GRPC, HTTP2, Protocol
from connect_proxy_envoy.resources.retries import retry_policy
from connect_proxy_envoy.resources.type_urls import GRPC_BRIDGE, GRPC_STATS, HTTP_MANAGER, ROUTER

_IDENTITY_DETAILS: Final = {"subject": True, "cert": True, "chain": True, "dns": True, "uri": True}


EVERYTHING: Final[Mapping[str, str]] = {"prefix": "/"}


def http_filter(
    protocol: Protocol,
    knobs: Knobs,
    *,
    prefix: str,
    cluster: str,
    inbound: bool,
    match: Mapping[str, str] = EVERYTHING,
    shows_identity: bool = True,
) -> dict[str, Any]:
    """``envoy.filters.network.http_connection_manager``: what *match* says is routed to *cluster*.

    *shows_identity*: the application learns by a header who calls.
    """
    manager: dict[str, Any] = {
        "@type": HTTP_MANAGER,
        "statPrefix": prefix,
        "routeConfig": _route_config(knobs, prefix, cluster, inbound=inbound, match=match),
        "httpFilters": [*_grpc_filters(protocol), _plain("envoy.filters.http.router", ROUTER)],
        "tracing": {"randomSampling": {}},
        "upgradeConfigs": [{"upgradeType": "websocket"}],
    }
    if protocol in {HTTP2, GRPC}:
        manager["http2ProtocolOptions"] = {}
    if inbound:
        manager["normalizePath"] = True
        if protocol is not GRPC and shows_identity:
            manager["forwardClientCertDetails"] = "APPEND_FORWARD"
            manager["setCurrentClientCertDetails"] = dict(_IDENTITY_DETAILS)
        if (idle := knobs.integer("local_idle_timeout_ms", -1)) >= 0:
            manager["streamIdleTimeout"] = duration(idle)
    return {"name": "envoy.filters.network.http_connection_manager", "typedConfig": manager}


def _route_config(
    knobs: Knobs, name: str, cluster: str, *, inbound: bool, match: Mapping[str, str]
) -> dict[str, Any]:
    route: dict[str, Any] = {"cluster": cluster}
    if not inbound:
        route["retryPolicy"] = retry_policy()
    elif (timeout := knobs.integer("local_request_timeout_ms", -1)) >= 0:
        route["timeout"] = duration(timeout)
    host = {"name": name, "domains": ["*"], "routes": [{"match": dict(match), "route": route}]}
    return {"name": name, "virtualHosts": [host]}


def _grpc_filters(protocol: Protocol) -> list[dict[str, Any]]:
    if protocol is not GRPC:
        return []
    statistics = _plain("envoy.filters.http.grpc_stats", GRPC_STATS)
    statistics["typedConfig"]["statsForAllMethods"] = True
    return [statistics, _plain("envoy.filters.http.grpc_http1_bridge", GRPC_BRIDGE)]


def _plain(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "typedConfig": {"@type": kind}}
