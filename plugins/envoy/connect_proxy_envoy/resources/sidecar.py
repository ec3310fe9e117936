"""All resources of one sidecar from one snapshot."""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.resources.clusters import local_app, upstream_cluster
from connect_proxy_envoy.resources.endpoints import load_assignment
from connect_proxy_envoy.resources.exposed import exposed_cluster, exposed_listener, exposed_paths
from connect_proxy_envoy.resources.guard import guard_of
from connect_proxy_envoy.resources.listeners import public_listener, upstream_listener
from connect_proxy_envoy.resources.names import place_of
from connect_proxy_envoy.resources.protocol import protocol_of
from connect_proxy_envoy.resources.resource import ResourceSet, resource_set
from connect_proxy_envoy.resources.secrets import secrets
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, SECRET
from connect_proxy_envoy.version import Version

NEWEST: Final = Version(1, 40)


def sidecar_resources(snapshot: ProxySnapshot, envoy: Version = NEWEST) -> ResourceSet:
    """Everything Envoy (of version *envoy*) is told.

    Raises ConfigurationError naming the key of the registration's config.
    """
    registration, place = snapshot.registration, place_of(snapshot)
    knobs = Knobs(registration.config, where="Proxy.Config")
    protocol = protocol_of(knobs)
    clusters = [local_app(registration, knobs, protocol)]
    assignments: list[dict[str, Any]] = []
    guard = guard_of(snapshot, place.trust_domain)
    extensions = [guard.rules_of_requests()] if protocol.is_http else []
    public = public_listener(registration, guard, knobs, protocol, envoy)
    listeners = [public] if public else []
    for exposed in exposed_paths(registration):
        listeners.append(exposed_listener(exposed, registration, knobs))
        if own_cluster := exposed_cluster(exposed):
            clusters.append(own_cluster)
    for upstream in registration.upstreams:
        found = snapshot.endpoints.get(upstream.id) or UpstreamEndpoints(
            upstream_id=upstream.id, known=False
        )
        own = Knobs(upstream.config, where=f"Upstream {upstream.id} Config")
        cluster = upstream_cluster(upstream, found, place, own, protocol_of(own))
        clusters.append(cluster)
        listeners.append(upstream_listener(upstream, place, own, protocol_of(own)))
        if found.known and cluster.get("type") == "EDS":
            assignments.append(load_assignment(cluster["name"], found.endpoints))
    return resource_set(
        {
            CLUSTER: [(cluster["name"], cluster) for cluster in clusters],
            ENDPOINTS: [(assignment["clusterName"], assignment) for assignment in assignments],
            SECRET: [(secret["name"], secret) for secret in secrets(snapshot)],
            EXTENSION: [(extension["name"], extension) for extension in extensions],
            LISTENER: [(listener["name"], listener) for listener in listeners],
        }
    )
