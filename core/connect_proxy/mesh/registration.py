"""A proxy's record in Consul: what it stands for, where it listens, what it depends on.

Source: ``GET /v1/agent/service/:id`` (Consul 1.3 and newer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.mesh.immutable import EMPTY

SERVICE: Final = "service"
PREPARED_QUERY: Final = "prepared_query"
CONNECT_PROXY: Final = "connect-proxy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upstream:
    """A dependency, reached by the application on a local port or socket (``Proxy.Upstreams[]``)."""

    destination_name: str
    destination_type: str = SERVICE
    """``service`` or ``prepared_query``."""
    destination_namespace: str = "default"
    datacenter: str = ""
    """Empty: the proxy's own datacenter."""
    local_bind_address: str = ""
    """Empty: 127.0.0.1."""
    local_bind_port: int = 0
    local_bind_socket_path: str = ""
    """A unix socket instead of address and port (Consul 1.10 and newer)."""
    local_bind_socket_mode: str = ""
    config: Mapping[str, Any] = EMPTY
    """Opaque ``Config``: ``connect_timeout_ms``, ``protocol``, ``limits`` …"""

    @property
    def id(self) -> str:
        """Consul's identifier: ``db``, ``db?dc=dc2``, ``prepared_query:geo-cache``. Unique in a proxy."""
        prefix = "" if self.destination_type == SERVICE else f"{self.destination_type}:"
        namespace = self.destination_namespace
        inside = "" if namespace in {"", "default"} else f"{namespace}/"
        suffix = f"?dc={self.datacenter}" if self.datacenter else ""
        return f"{prefix}{inside}{self.destination_name}{suffix}"

    @property
    def bind_host(self) -> str:
        """The address to listen on: ``local_bind_address`` or Consul's default 127.0.0.1."""
        return self.local_bind_address or "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """One proxy's registration at its agent."""

    id: str
    name: str
    """The proxy's own service name, such as ``web-sidecar-proxy``."""
    kind: str = CONNECT_PROXY
    address: str = ""
    """Empty: the node's address."""
    port: int = 0
    namespace: str = "default"
    partition: str = "default"
    datacenter: str = ""
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = EMPTY
    destination_service_name: str = ""
    """The service it stands for: its identity in the mesh."""
    destination_service_id: str = ""
    local_service_address: str = "127.0.0.1"
    local_service_port: int = 0
    local_service_socket_path: str = ""
    config: Mapping[str, Any] = EMPTY
    """Opaque ``Proxy.Config``; keys are read by backends, weakly typed."""
    upstreams: tuple[Upstream, ...] = ()
    expose: Mapping[str, Any] = EMPTY
    content_hash: str = ""
    """Consul's opaque ``ContentHash``, for hash-blocking."""
