"""Which proxies the files ask for, and by which program each is run. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    ManagedProxy,
    ProxyDefaults,
    ProxyStanza,
    ServiceDefinition,
)
from connect_proxy.mesh.immutable import frozen
from connect_proxy.secret import NO_SECRET

PROXY_SUFFIX: Final = "-proxy"
SIDECAR_SUFFIX: Final = "-sidecar-proxy"
COMMAND_BACKEND: Final = "custom_exec"
"""Runs a stanza's ``command``."""
DEFAULT_BACKEND: Final = "builtin"


def wanted_proxies(
    configuration: AgentConfiguration, *, default_backend: str = DEFAULT_BACKEND
) -> tuple[ManagedProxy, ...]:
    """The proxies to run, in the order of the files; none with ``connect { enabled = false }``."""
    if not configuration.connect_enabled:
        return ()
    return tuple(
        proxy
        for service in configuration.services
        for proxy in _proxies_of(service, configuration.proxy_defaults, default_backend)
    )


def program(
    stanza: ProxyStanza, defaults: ProxyDefaults, default_backend: str
) -> tuple[str, tuple[str, ...]]:
    """Backend and command: the service's command, its backend, the defaults' command, their backend."""
    for backend, command in ((stanza.backend, stanza.command), (defaults.backend, defaults.command)):
        if command:
            return COMMAND_BACKEND, command
        if backend:
            return backend, ()
    return default_backend, ()


def _proxies_of(
    service: ServiceDefinition, defaults: ProxyDefaults, default_backend: str
) -> Iterator[ManagedProxy]:
    if service.proxy is not None:
        backend, command = program(service.proxy, defaults, default_backend)
        yield ManagedProxy(
            id=service.id + PROXY_SUFFIX,
            name=service.name + PROXY_SUFFIX,
            service_id=service.id,
            service_name=service.name,
            backend=backend,
            command=command,
            config=frozen({**defaults.config, **service.proxy.config}),
            upstreams=service.proxy.upstreams,
            service_port=service.port,
            token=NO_SECRET if service.from_api else service.token,
            from_api=service.from_api,
            origin=service.origin,
        )
    if service.sidecar is not None:
        # The defaults are those of managed proxies: a sidecar's config is in Consul as it stands.
        backend, command = program(service.sidecar, ProxyDefaults(), default_backend)
        sidecar = service.body["Connect"]["SidecarService"]
        yield ManagedProxy(
            id=service.id + SIDECAR_SUFFIX,
            name=sidecar.get("Name") or service.name + SIDECAR_SUFFIX,
            service_id=service.id,
            service_name=service.name,
            backend=backend,
            command=command,
            config=service.sidecar.config,
            upstreams=service.sidecar.upstreams,
            service_port=service.port,
            token=service.sidecar_token or (NO_SECRET if service.from_api else service.token),
            is_sidecar=True,
            from_api=service.from_api,
            origin=service.origin,
        )
