"""Where connections go: the application itself, and each upstream (CDS)."""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.mesh.registration import SERVICE, Registration, Upstream
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.endpoints import load_assignment, needs_dns
from connect_proxy_envoy.resources.names import (
    LOCAL_APP,
    Place,
    cluster_name,
    duration,
    pipe_address,
    socket_address,
    upstream_identities,
)
from connect_proxy_envoy.resources.protocol import GRPC, HTTP2, Protocol
from connect_proxy_envoy.resources.tls import upstream_tls
from connect_proxy_envoy.resources.type_urls import CLUSTER, HTTP_OPTIONS, HTTP_OPTIONS_NAME

DEFAULT_CONNECT_TIMEOUT_MS: Final = 5000
_LIMITS: Final = (
    ("max_connections", "maxConnections"),
    ("max_pending_requests", "maxPendingRequests"),
    ("max_concurrent_requests", "maxRequests"),
)

_TRANSPORTS: Final = ("transport_socket", "transport_socket_matches", "transportSocketMatches")
"""Other ways to say how a cluster connects."""


def local_app(registration: Registration, knobs: Knobs, protocol: Protocol) -> dict[str, Any]:
    """The cluster ``local_app``: the application behind the public listener."""
    if own := knobs.message("envoy_local_cluster_json", CLUSTER):
        return own
    timeout = knobs.integer("local_connect_timeout_ms", DEFAULT_CONNECT_TIMEOUT_MS)
    if registration.local_service_socket_path:
        address = pipe_address(registration.local_service_socket_path)
    else:
        host = registration.local_service_address or "127.0.0.1"
        address = socket_address(host, registration.local_service_port)
    cluster: dict[str, Any] = {
        "@type": CLUSTER,
        "name": LOCAL_APP,
        "type": "STATIC",
        "connectTimeout": duration(timeout if timeout >= 1 else DEFAULT_CONNECT_TIMEOUT_MS),
        "loadAssignment": {
            "clusterName": LOCAL_APP,
            "endpoints": [{"lbEndpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if (limit := knobs.integer("max_inbound_connections", 0)) > 0:
        cluster["circuitBreakers"] = {"thresholds": [{"maxConnections": limit}]}
    if protocol in {HTTP2, GRPC}:
        cluster["typedExtensionProtocolOptions"] = _protocol_options("useDownstreamProtocolConfig")
    return cluster


def upstream_cluster(
    upstream: Upstream, found: UpstreamEndpoints, place: Place, knobs: Knobs, protocol: Protocol
) -> dict[str, Any]:
    """One upstream's cluster: instances by EDS, mutual TLS, exactly the identity asked for."""
    name = cluster_name(upstream, place)
    cluster = knobs.message("envoy_cluster_json", CLUSTER) or _default_cluster(upstream, found, name, knobs)
    if protocol in {HTTP2, GRPC} and "typedExtensionProtocolOptions" not in cluster:
        cluster["typedExtensionProtocolOptions"] = _protocol_options("explicitHttpConfig")
    # Also over an escape hatch: no connection into the mesh goes without the identity's proof.
    for hatch in _TRANSPORTS:
        cluster.pop(hatch, None)
    identities = upstream_identities(upstream, found, place)
    cluster["transportSocket"] = upstream_tls(name, identities, protocol.alpn)
    return cluster


def _default_cluster(
    upstream: Upstream, found: UpstreamEndpoints, name: str, knobs: Knobs
) -> dict[str, Any]:
    timeout = knobs.integer("connect_timeout_ms", DEFAULT_CONNECT_TIMEOUT_MS)
    cluster: dict[str, Any] = {"@type": CLUSTER, "name": name}
    if upstream.destination_type == SERVICE:
        cluster["altStatName"] = name
        cluster["commonLbConfig"] = {"healthyPanicThreshold": {}}
    cluster |= _discovery(name, found, knobs)
    if timeout >= 0:
        cluster["connectTimeout"] = duration(timeout)
    cluster["circuitBreakers"] = _circuit_breakers(knobs)
    cluster["outlierDetection"] = _outlier_detection(knobs)
    return cluster


def _discovery(name: str, found: UpstreamEndpoints, knobs: Knobs) -> dict[str, Any]:
    """EDS over the same stream; DNS for instances that are registered under a name."""
    if needs_dns(found.endpoints):
        assignment = load_assignment(name, found.endpoints)
        del assignment["@type"]
        return {"type": "STRICT_DNS", "loadAssignment": assignment}
    source: dict[str, Any] = {"ads": {}, "resourceApiVersion": "V3"}
    fetch_timeout = knobs.integer("xds_fetch_timeout_ms", -1)
    if fetch_timeout >= 0:
        source["initialFetchTimeout"] = duration(fetch_timeout)
    return {"type": "EDS", "edsClusterConfig": {"edsConfig": source}}


def _circuit_breakers(knobs: Knobs) -> dict[str, Any]:
    limits = knobs.mapping("limits")
    if limits is None:
        return {}
    threshold = {field: value for key, field in _LIMITS if (value := limits.integer(key, -1)) >= 0}
    return {"thresholds": [threshold]} if threshold else {}


def _outlier_detection(knobs: Knobs) -> dict[str, Any]:
    """Present and empty: Envoy's own defaults are on."""
    check = knobs.mapping("passive_health_check")
    if check is None:
        return {}
    detection: dict[str, Any] = {}
    if (interval := check.duration_ms("interval")) is not None:
        detection["interval"] = duration(interval)
    if (failures := check.integer("max_failures", 0)) > 0:
        detection["consecutive5xx"] = failures
    for key, field in (
        ("enforcing_consecutive_5xx", "enforcingConsecutive5xx"),
        ("max_ejection_percent", "maxEjectionPercent"),
    ):
        if (value := check.integer(key, -1)) >= 0:
            detection[field] = value
    if (ejection := check.duration_ms("base_ejection_time")) is not None:
        detection["baseEjectionTime"] = duration(ejection)
    return detection


def _protocol_options(kind: str) -> dict[str, Any]:
    choice: dict[str, Any] = {"http2ProtocolOptions": {}}
    return {HTTP_OPTIONS_NAME: {"@type": HTTP_OPTIONS, kind: choice}}
