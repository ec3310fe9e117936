"""The instances behind each upstream (EDS)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy_envoy.address import is_ip
from connect_proxy_envoy.resources.names import socket_address
from connect_proxy_envoy.resources.type_urls import ENDPOINTS

MAX_WEIGHT: Final = 128
"""The largest that Envoy takes."""


def load_assignment(cluster: str, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """``envoy.config.endpoint.v3.ClusterLoadAssignment``.

    Sent without instances too, so that Envoy does not wait for what does not exist.
    """
    found = [_endpoint(endpoint) for endpoint in endpoints]
    return {"@type": ENDPOINTS, "clusterName": cluster, "endpoints": [{"lbEndpoints": found}]}


def needs_dns(endpoints: Iterable[Endpoint]) -> bool:
    """Whether an instance is known by name: EDS takes IP addresses only."""
    return any(not is_ip(endpoint.address) for endpoint in endpoints)


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Weights below 1 are Consul's way to send no traffic there."""
    healthy = endpoint.passing and endpoint.weight >= 1
    return {
        "endpoint": {"address": socket_address(endpoint.address, endpoint.port)},
        "healthStatus": "HEALTHY" if healthy else "UNHEALTHY",
        "loadBalancingWeight": min(max(endpoint.weight, 1), MAX_WEIGHT),
    }
