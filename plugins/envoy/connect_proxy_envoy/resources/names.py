"""What Consul calls things in Envoy, and the identities behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.mesh.registration import SERVICE, Registration, Upstream
from connect_proxy.mesh.spiffe import ServiceIdentity, parse_service_identity
from connect_proxy.snapshot.snapshot import ProxySnapshot

LOCAL_APP: Final = "local_app"
LEAF_SECRET: Final = "leaf"  # noqa: S105 - a resource's name
ROOTS_SECRET: Final = "roots"  # noqa: S105

NO_IDENTITY: Final = "urn:connect-proxy:no-such-identity"
"""A URI that no certificate of the mesh carries: an empty list of names would accept them all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in the mesh the proxy is: what its own certificate says."""

    trust_domain: str
    datacenter: str
    namespace: str
    partition: str


def place_of(snapshot: ProxySnapshot) -> Place:
    """Read from the leaf, which is Consul's word; ``/v1/agent/service`` names no datacenter."""
    own = parse_service_identity(snapshot.leaf.uri)
    return Place(
        trust_domain=snapshot.roots.trust_domain or own.trust_domain,
        datacenter=own.datacenter,
        namespace=own.namespace,
        partition=own.partition,
    )


def public_listener_name(host: str, port: int) -> str:
    """Address and port are part of it, since Envoy cannot bind a listener anew."""
    return f"public_listener:{bracketed(host)}:{port}"


def upstream_listener_name(upstream: Upstream) -> str:
    """``db:127.0.0.1:9191``, ``prepared_query:geo-cache:127.0.0.1:8181``, ``db:/run/db.sock``."""
    if upstream.local_bind_socket_path:
        return f"{upstream.id}:{upstream.local_bind_socket_path}"
    return f"{upstream.id}:{bracketed(upstream.bind_host)}:{upstream.local_bind_port}"


def cluster_name(upstream: Upstream, place: Place) -> str:
    """Also the SNI: ``db.default.dc1.internal.<domain>``, of a query ``geo.default.dc1.query.<domain>``."""
    datacenter = upstream.datacenter or place.datacenter
    if upstream.destination_type != SERVICE:
        return f"{upstream.destination_name}.default.{datacenter}.query.{place.trust_domain}"
    namespace = upstream.destination_namespace or "default"
    middle = f"{datacenter}.internal"
    if place.partition != "default":
        middle = f"{place.partition}.{datacenter}.internal-v1"
    return f"{upstream.destination_name}.{namespace}.{middle}.{place.trust_domain}"


def upstream_stat_prefix(upstream: Upstream, place: Place) -> str:
    """``upstream.db.default.default.dc1``, ``upstream.prepared_query_geo-cache``."""
    if upstream.destination_type != SERVICE:
        return f"upstream.{upstream.destination_type}_{upstream.destination_name}"
    namespace = upstream.destination_namespace or "default"
    datacenter = upstream.datacenter or place.datacenter
    return f"upstream.{upstream.destination_name}.{namespace}.{place.partition}.{datacenter}"


def upstream_identities(upstream: Upstream, found: UpstreamEndpoints, place: Place) -> tuple[str, ...]:
    """The SPIFFE URIs that may answer: the service asked for; for a query those of its results.

    Never empty: a query without results accepts nobody.
    """
    if upstream.destination_type == SERVICE:
        datacenter = upstream.datacenter or place.datacenter
        namespace = upstream.destination_namespace or "default"
        return (_uri(place, namespace, datacenter, upstream.destination_name),)
    behind = dict.fromkeys(
        _uri(
            place, endpoint.namespace, endpoint.datacenter or place.datacenter, endpoint.destination_service
        )
        for endpoint in found.endpoints
    )
    return tuple(behind) or (NO_IDENTITY,)


def public_address(registration: Registration, bind_address: str, bind_port: int) -> tuple[str, int]:
    """Where the mesh reaches the service: ``bind_address`` and ``bind_port``, else as registered."""
    host = bind_address or registration.address or "0.0.0.0"  # noqa: S104 - Consul's default
    return host, bind_port or registration.port


def bracketed(host: str) -> str:
    """IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def socket_address(host: str, port: int) -> dict[str, Any]:
    """``envoy.config.core.v3.Address`` of a TCP port."""
    return {"socketAddress": {"address": host, "portValue": port}}


def pipe_address(path: str, mode: str = "") -> dict[str, Any]:
    """``envoy.config.core.v3.Address`` of a unix socket; *mode* in octal."""
    pipe: dict[str, Any] = {"path": path}
    if mode:
        pipe["mode"] = int(mode, 8)
    return {"pipe": pipe}


def duration(milliseconds: int) -> str:
    """A protobuf Duration in JSON: ``5s``, ``0.250s``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}.{rest:03d}s" if rest else f"{seconds}s"


def _uri(place: Place, namespace: str, datacenter: str, service: str) -> str:
    return ServiceIdentity(
        trust_domain=place.trust_domain,
        partition=place.partition,
        namespace=namespace or "default",
        datacenter=datacenter,
        service=service,
    ).uri
