"""What the agent holds about services and checks, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.mesh.registration import CONNECT_PROXY, SERVICE
from connect_proxy.secret import NO_SECRET, Secret

PASSING: Final = "passing"
WARNING: Final = "warning"
CRITICAL: Final = "critical"
STATUSES: Final = frozenset({PASSING, WARNING, CRITICAL})
SEVERITY: Final = {PASSING: 0, WARNING: 1, CRITICAL: 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamRecord:
    """``Proxy.Upstreams[]``."""

    destination_name: str
    destination_type: str = SERVICE
    destination_namespace: str = ""
    datacenter: str = ""
    local_bind_address: str = ""
    local_bind_port: int = 0
    local_bind_socket_path: str = ""
    """Instead of address and port, with its mode: of Consul 1.10, taken here all the same."""
    local_bind_socket_mode: str = ""
    config: Mapping[str, Any] | None = None
    mesh_gateway: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyRecord:
    """``Proxy`` of a service of kind ``connect-proxy`` (or a gateway)."""

    destination_service_name: str = ""
    destination_service_id: str = ""
    local_service_address: str = ""
    local_service_port: int = 0
    local_service_socket_path: str = ""
    """The application on a unix socket (Consul 1.10)."""
    config: Mapping[str, Any] | None = None
    upstreams: tuple[UpstreamRecord, ...] = ()
    mesh_gateway: Mapping[str, Any] = EMPTY
    expose: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """DNS SRV weights; how much traffic an instance takes when passing and when warning."""

    passing: int = 1
    warning: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedAddress:
    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRecord:
    """One registered service instance."""

    id: str
    name: str
    kind: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = EMPTY
    address: str = ""
    """Empty: the node's address."""
    port: int = 0
    tagged_addresses: Mapping[str, TaggedAddress] = EMPTY
    weights: Weights = Weights()
    enable_tag_override: bool = False
    native: bool = False
    proxy: ProxyRecord = ProxyRecord()
    token: Secret = NO_SECRET
    is_sidecar_of: str = ""
    """Id of the service whose registration made this one: removed together with it."""
    create_index: int = 0
    modify_index: int = 0

    @property
    def connect_name(self) -> str:
        """The service in the mesh that this instance answers for; empty if none."""
        if self.kind == CONNECT_PROXY:
            return self.proxy.destination_service_name
        return self.name if self.native else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRecord:
    """State of one health check. ``service_id`` is empty for a check of the node."""

    id: str
    name: str
    status: str = CRITICAL
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    type: str = ""
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckDefinition:
    """What a check is to do. Times in seconds; 0 means "not given"."""

    id: str = ""
    name: str = ""
    notes: str = ""
    status: str = ""
    """The status to start with; empty: critical."""
    service_id: str = ""
    tcp: str = ""
    http: str = ""
    method: str = ""
    body: str = ""
    header: Mapping[str, tuple[str, ...]] = EMPTY
    tls_skip_verify: bool = False
    grpc: str = ""
    grpc_use_tls: bool = False
    alias_service: str = ""
    alias_node: str = ""
    script: bool = False
    ttl: float = 0
    interval: float = 0
    timeout: float = 0
    deregister_after: float = 0
    success_before_passing: int = 0
    failures_before_critical: int = 0

    @property
    def type(self) -> str:
        """``tcp``, ``http``, ``grpc``, ``alias``, ``ttl``, ``script``, as ``Type`` shows it."""
        if self.alias_service or self.alias_node:
            return "alias"
        for kind in ("tcp", "http", "grpc"):
            if getattr(self, kind):
                return kind
        return "script" if self.script else "ttl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """This machine, as the catalog lists it."""

    id: str
    name: str
    address: str
    datacenter: str
    meta: Mapping[str, str] = EMPTY
    create_index: int = 0
    modify_index: int = 0


def worst(checks: tuple[CheckRecord, ...]) -> str:
    """The aggregated status of an instance: its worst check, passing without any."""
    return max((check.status for check in checks), key=lambda status: SEVERITY[status], default=PASSING)
