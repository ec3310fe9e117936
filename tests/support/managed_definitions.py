"""Service definitions and proxies as the agent's files give them, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    ManagedProxy,
    Origin,
    ProxyStanza,
    ServiceDefinition,
)
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.registration import Upstream
from connect_proxy.secret import Secret

ORIGIN = Origin(file="web.hcl", line=1)


def managed_service(
    name: str = "web", *, port: int = 8080, proxied: bool = True, token: str = "", **body: Any
) -> ServiceDefinition:
    """``service { name, port, connect { proxy {} } }``."""
    return ServiceDefinition(
        id=name,
        name=name,
        origin=ORIGIN,
        body=frozen({"ID": name, "Name": name, "Port": port} | body),
        token=Secret(token),
        port=port,
        proxy=ProxyStanza() if proxied else None,
    )


def managed_proxy(
    service: str = "web",
    *,
    config: Mapping[str, Any] | None = None,
    upstreams: tuple[Upstream, ...] = (),
    service_port: int = 8080,
    command: tuple[str, ...] = (),
    is_sidecar: bool = False,
    token: str = "",
) -> ManagedProxy:
    """The proxy of :func:`managed_service`."""
    suffix = "-sidecar-proxy" if is_sidecar else "-proxy"
    return ManagedProxy(
        id=service + suffix,
        name=service + suffix,
        service_id=service,
        service_name=service,
        backend="custom_exec" if command else "builtin",
        command=command,
        config=frozen(config or {}),
        upstreams=upstreams,
        service_port=service_port,
        token=Secret(token),
        is_sidecar=is_sidecar,
        origin=ORIGIN,
    )


def configuration(*services: ServiceDefinition) -> AgentConfiguration:
    return AgentConfiguration(services=services)
