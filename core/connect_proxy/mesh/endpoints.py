"""The instances behind an upstream (``/v1/health/connect/:service``, ``/v1/query/:name/execute``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One instance's public listener, and who must answer there."""

    node: str
    service_id: str
    address: str
    """Dial address: the service's if set, else the node's."""
    port: int
    datacenter: str
    destination_service: str
    """Whose identity its certificate must carry: a proxy's destination, a native service's own name."""
    namespace: str = "default"
    weight: int = 1
    """``Weights.Passing``, or ``.Warning`` if a check warns."""
    passing: bool = True
    """False: a check is critical."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamEndpoints:
    """What is behind one upstream, at one moment."""

    upstream_id: str
    endpoints: tuple[Endpoint, ...] = ()
    """For prepared queries in Consul's order, which is a preference."""
    known: bool = True
    """False: Consul has not answered for this upstream yet."""
