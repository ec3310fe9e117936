"""What the agent's files say, as frozen values. Reading files and deciding from them are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.mesh.registration import Upstream
from connect_proxy.secret import NO_SECRET, Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where in which file something was said."""

    file: str
    line: int = 0
    """From 1; 0 where it is about the whole file."""
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyStanza:
    """``connect { proxy { … } }`` of a service, or what a ``sidecar_service`` says of its process."""

    backend: str = ""
    command: tuple[str, ...] = ()
    config: Mapping[str, Any] = EMPTY
    """Opaque, as written, its ``upstreams`` included; ``bind_port``, ``bind_address``,
    ``local_service_address`` … as Consul 1.2 had them."""
    upstreams: tuple[Upstream, ...] = ()
    """From ``upstreams`` and from ``config.upstreams``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceDefinition:
    """One ``service`` of the files."""

    id: str
    name: str
    origin: Origin = field(compare=False)
    """Not compared: a definition that moved in its file is still the same."""
    body: Mapping[str, Any]
    """What ``PUT /v1/agent/service/register`` takes (CamelCase), without Token and Connect.Proxy. A
    ``sidecar_service`` stands in it as Consul takes it; an unmanaged proxy is translated already."""
    token: Secret = NO_SECRET
    """The service's own ACL token, if the file gives one."""
    sidecar_token: Secret = NO_SECRET
    """That of its ``sidecar_service``, if the file gives one; else the service's counts."""
    port: int = 0
    proxy: ProxyStanza | None = None
    """``connect.proxy``: a managed proxy is wanted."""
    sidecar: ProxyStanza | None = None
    """``connect.sidecar_service`` with ``backend`` or ``command``: that sidecar is started too."""
    from_api: bool = False
    """Registered over the agent's HTTP API. Its token is whoever's that registered it: it serves to
    register, its proxy gets one of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckDefinition:
    """A check that stands outside of every service."""

    body: Mapping[str, Any]
    """What ``PUT /v1/agent/check/register`` takes (CamelCase), without Token."""
    token: Secret = NO_SECRET
    origin: Origin = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyDefaults:
    """``connect.proxy_defaults``: what a stanza without words of its own gets."""

    backend: str = ""
    command: tuple[str, ...] = ()
    config: Mapping[str, Any] = EMPTY


@dataclass(frozen=True, kw_only=True, slots=True)
class PortRanges:
    """``ports``: both ends inclusive; 0 and 0 switches an allocation off."""

    proxy_min: int = 20000
    proxy_max: int = 20255
    sidecar_min: int = 21000
    sidecar_max: int = 21255


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfiguration:
    """Everything the files say."""

    services: tuple[ServiceDefinition, ...] = ()
    checks: tuple[CheckDefinition, ...] = ()
    connect_enabled: bool = True
    allow_managed_root: bool = False
    allow_managed_api_registration: bool = False
    proxy_defaults: ProxyDefaults = field(default_factory=ProxyDefaults)
    ports: PortRanges = field(default_factory=PortRanges)
    data_dir: str = ""
    log_level: str = ""
    acl_token: Secret = NO_SECRET
    """``acl.tokens.agent`` or ``default``: used where the command line gives no token."""
    bind_address: str = ""
    telemetry: Mapping[str, Any] = field(default=EMPTY, repr=False)
    """As written; custom daemons are shown it. It may hold a password of a monitoring service."""
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Said once at load: known Consul keys without a meaning here, group-writable files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagedProxy:
    """One proxy that is wanted: what the files say, decided. Compared to find out what changed."""

    id: str
    """``<service id>-proxy``, or ``<service id>-sidecar-proxy``."""
    name: str
    service_id: str
    service_name: str
    backend: str
    """A command is run by ``custom_exec``."""
    command: tuple[str, ...] = ()
    config: Mapping[str, Any] = EMPTY
    """Service over defaults, merged; fill-ins (port, addresses) are made when it is registered."""
    upstreams: tuple[Upstream, ...] = ()
    service_port: int = 0
    token: Secret = NO_SECRET
    """The definition's own, if any; else one is made for this proxy."""
    is_sidecar: bool = False
    """Registered by Consul through ``sidecar_service``: only the process is ours."""
    from_api: bool = False
    """Asked for over the agent's HTTP API, not by a file."""
    origin: Origin = field(compare=False)
