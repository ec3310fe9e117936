"""Where connections come in: from the mesh, and from the application to each upstream (LDS)."""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.guard import Guard
from connect_proxy_envoy.resources.http import http_filter
from connect_proxy_envoy.resources.names import (
    LOCAL_APP,
    Place,
    cluster_name,
    pipe_address,
    public_address,
    public_listener_name,
    socket_address,
    upstream_listener_name,
    upstream_stat_prefix,
)
from connect_proxy_envoy.resources.protocol import Protocol
from connect_proxy_envoy.resources.retries import UPSTREAM_ATTEMPTS
from connect_proxy_envoy.resources.type_urls import CONNECTION_LIMIT, LISTENER, TCP_PROXY
from connect_proxy_envoy.version import Version

EXACT_BALANCE: Final = "exact_balance"
CONNECTS_AFTER_HANDSHAKE: Final = Version(1, 37)
"""Before, Envoy connects to the application as soon as anybody connects to it."""
_AFTER_HANDSHAKE: Final = {"upstreamConnectMode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "maxEarlyDataBytes": 0}


def public_listener(
    registration: Registration, guard: Guard, knobs: Knobs, protocol: Protocol, envoy: Version
) -> dict[str, Any] | None:
    """The listener that the mesh connects to; None for a proxy that is registered without a port.

    Authorisation stands before everything else in every chain (of HTTP: before all that is done to a
    request), and TLS around it: both are put on a listener from the escape hatch
    ``envoy_public_listener_json`` too. Raises ConfigurationError where that one has no place for them.
    """
    if own := knobs.message("envoy_public_listener_json", LISTENER):
        return _guarded(own, guard, knobs, protocol)
    host, port = public_address(registration, knobs.text("bind_address"), knobs.integer("bind_port", 0))
    if not port:
        return None
    filters = [] if protocol.is_http else [guard.of_connections()]
    if (limit := knobs.integer("max_inbound_connections", 0)) > 0:
        filters.append(_connection_limit(limit))
    if protocol.is_http:
        last = http_filter(protocol, knobs, prefix="public_listener", cluster=LOCAL_APP, inbound=True)
        last["typedConfig"]["httpFilters"].insert(0, guard.of_requests())
        filters.append(last)
    else:
        last = _tcp_proxy("public_listener", LOCAL_APP)
        if envoy >= CONNECTS_AFTER_HANDSHAKE:
            last["typedConfig"] |= _AFTER_HANDSHAKE
        filters.append(last)
    listener: dict[str, Any] = {
        "@type": LISTENER,
        "name": public_listener_name(host, port),
        "address": socket_address(host, port),
        "filterChains": [{"filters": filters, "transportSocket": guard.transport(protocol)}],
        "trafficDirection": "INBOUND",
    }
    if protocol.is_http:
        listener["filterChains"][0]["name"] = guard.name
    if knobs.text("balance_inbound_connections") == EXACT_BALANCE:
        listener["connectionBalanceConfig"] = {"exactBalance": {}}
    return listener


def upstream_listener(upstream: Upstream, place: Place, knobs: Knobs, protocol: Protocol) -> dict[str, Any]:
    """The listener that the application connects to. No TLS: it is on this host."""
    if own := knobs.message("envoy_listener_json", LISTENER):
        return own
    if upstream.local_bind_socket_path:
        address = pipe_address(upstream.local_bind_socket_path, upstream.local_bind_socket_mode)
    else:
        address = socket_address(upstream.bind_host, upstream.local_bind_port)
    prefix, cluster = upstream_stat_prefix(upstream, place), cluster_name(upstream, place)
    if protocol.is_http:
        last = http_filter(protocol, knobs, prefix=prefix, cluster=cluster, inbound=False)
    else:
        last = _tcp_proxy(prefix, cluster)
        last["typedConfig"]["maxConnectAttempts"] = UPSTREAM_ATTEMPTS
    listener = {
        "@type": LISTENER,
        "name": upstream_listener_name(upstream),
        "address": address,
        "filterChains": [{"filters": [last]}],
        "trafficDirection": "OUTBOUND",
    }
    if knobs.text("balance_outbound_connections") == EXACT_BALANCE:
        listener["connectionBalanceConfig"] = {"exactBalance": {}}
    return listener


def _guarded(listener: dict[str, Any], guard: Guard, knobs: Knobs, protocol: Protocol) -> dict[str, Any]:
    """A listener of the user's with authorisation and TLS in every chain."""
    key = "envoy_public_listener_json"
    chains = listener.get("filterChains", listener.get("filter_chains"))
    default = listener.get("defaultFilterChain", listener.get("default_filter_chain"))
    if not isinstance(chains, list) or not all(isinstance(chain, dict) for chain in chains):
        raise knobs.error(key, listener.get("name"), "a listener with filter chains")
    for chain in [*chains, *([default] if isinstance(default, dict) else [])]:
        guard.put_into(chain, protocol)
    return listener


def _connection_limit(limit: int) -> dict[str, Any]:
    config = {"@type": CONNECTION_LIMIT, "statPrefix": "inbound_connection_limit", "maxConnections": limit}
    return {"name": "envoy.filters.network.connection_limit", "typedConfig": config}


def _tcp_proxy(prefix: str, cluster: str) -> dict[str, Any]:
    config = {"@type": TCP_PROXY, "statPrefix": prefix, "cluster": cluster}
    return {"name": "envoy.filters.network.tcp_proxy", "typedConfig": config}
