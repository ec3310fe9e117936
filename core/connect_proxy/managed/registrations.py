"""What Consul is told of services and managed proxies. Pure.

Source of the bodies: ``PUT /v1/agent/service/register``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    CheckDefinition,
    ManagedProxy,
    ServiceDefinition,
)
from connect_proxy.managed.wanted import PROXY_SUFFIX, SIDECAR_SUFFIX
from connect_proxy.mesh.immutable import frozen, thawed
from connect_proxy.mesh.registration import CONNECT_PROXY, Upstream
from connect_proxy.secret import NO_SECRET, Secret

LOOPBACK: Final = "127.0.0.1"
WILDCARDS: Final = frozenset({"", "0.0.0.0", "::", "[::]"})  # noqa: S104 - looked for, not listened on
CHECK_NAME: Final = "Connect Proxy Listening"
CHECK_INTERVAL: Final = "10s"
_TRUE: Final = frozenset({"1", "t", "true"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedProxy:
    """A wanted proxy and the port that it was given."""

    proxy: ManagedProxy
    port: int


CHECK_PREFIX: Final = "check:"
"""Stands before the ids of checks that belong to no service, which may be the ids of services."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One registration that Consul is to have."""

    id: str
    service_id: str
    """The service of the files that it belongs to; its own id for the service itself."""
    body: Mapping[str, Any]
    token: Secret = NO_SECRET
    """Registered with it; empty: with the agent's own."""
    sidecar_token: Secret = NO_SECRET
    """The same for the sidecar that Consul makes of it; empty: as the service."""
    brings: tuple[str, ...] = ()
    """Ids that Consul makes of it: its sidecar."""
    check: str = ""
    """The id of the health check that comes and goes with it, if that is known."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that Consul has of it."""
        return (self.id, *self.brings)

    @property
    def shown(self) -> tuple[str, ...]:
        """What Consul shows of it: services by id, checks by their id with :data:`CHECK_PREFIX`."""
        checks = (f"{CHECK_PREFIX}{self.check}",) if self.check else ()
        return tuple(dict.fromkeys((*self.ids, *checks)))

    def request(self) -> dict[str, Any]:
        """The body to send; it may hold a token in clear."""
        body: dict[str, Any] = thawed(self.body)
        if self.sidecar_token:
            body["Connect"]["SidecarService"]["Token"] = self.sidecar_token.reveal()
        return body


def wanted_registrations(
    configuration: AgentConfiguration, proxies: Sequence[PlacedProxy]
) -> tuple[Wanted, ...]:
    """Every registration: each service before its proxy, the checks of no service last."""
    placed = {one.proxy.id: one for one in proxies}
    services = tuple(
        wanted
        for service in configuration.services
        for wanted in _of_service(service, placed, configuration.bind_address)
    )
    return services + tuple(_of_check(check) for check in configuration.checks)


def _of_check(check: CheckDefinition) -> Wanted:
    # As Consul: a check without an id has its name for one.
    name = str(check.body.get("ID") or check.body.get("CheckID") or check.body.get("Name") or "")
    key = f"{CHECK_PREFIX}{name}"
    return Wanted(id=key, service_id=key, body=check.body, token=check.token, check=name)


def leaving(name: str) -> tuple[bool, str]:
    """Sorts what is deregistered: services after their proxies and checks."""
    return not name.endswith(PROXY_SUFFIX) and not name.startswith(CHECK_PREFIX), name


def sidecar_ports(configuration: AgentConfiguration) -> Mapping[str, int]:
    """The ports that ``sidecar_service`` stanzas give, by the sidecar's id."""
    return {
        service.id + SIDECAR_SUFFIX: port
        for service in configuration.services
        if (port := int(_sidecar(service.body).get("Port") or 0))
    }


def filled_config(proxy: ManagedProxy, *, port: int, bind_address: str) -> dict[str, Any]:
    """The proxy's config with what it leaves out (Consul 1.2 filled in the same three keys)."""
    config: dict[str, Any] = thawed(proxy.config)
    config["bind_port"] = port
    if not config.get("bind_address") and bind_address:
        config["bind_address"] = bind_address
    if not config.get("local_service_address"):
        config["local_service_address"] = f"{LOOPBACK}:{proxy.service_port}"
    return config


def proxy_body(proxy: ManagedProxy, *, port: int, bind_address: str = "") -> dict[str, Any]:
    """The managed proxy's own registration.

    *bind_address*: the agent's own, for a proxy that names none. Raises ConfigurationError for a
    ``local_service_address`` without a port.
    """
    config = filled_config(proxy, port=port, bind_address=bind_address)
    # Consul refuses a wildcard as the address of a service: without one it is the node's.
    told = str(proxy.config.get("bind_address") or "")
    host, local_port = _host_port(str(config["local_service_address"]), proxy.id)
    config.pop("upstreams", None)
    body: dict[str, Any] = {
        "Kind": CONNECT_PROXY,
        "ID": proxy.id,
        "Name": proxy.name,
        "Address": "" if told in WILDCARDS else told,
        "Port": port,
        "Proxy": {
            "DestinationServiceName": proxy.service_name,
            "DestinationServiceID": proxy.service_id,
            "LocalServiceAddress": host,
            "LocalServicePort": local_port,
            "Config": config,
            "Upstreams": [upstream_body(upstream) for upstream in proxy.upstreams],
        },
    }
    if str(config.get("disable_tcp_check", "")).lower() not in _TRUE:
        body["Check"] = {
            "Name": CHECK_NAME,
            "TCP": f"{_bracketed(_checked_host(config))}:{port}",
            "Interval": CHECK_INTERVAL,
        }
    return body


def upstream_body(upstream: Upstream) -> dict[str, Any]:
    """One of ``Proxy.Upstreams``. What older Consuls do not know appears only if it says something."""
    body: dict[str, Any] = {
        "DestinationType": upstream.destination_type,
        "DestinationName": upstream.destination_name,
        "LocalBindPort": upstream.local_bind_port,
    }
    if upstream.destination_namespace not in {"", "default"}:
        body["DestinationNamespace"] = upstream.destination_namespace
    for name, value in (
        ("Datacenter", upstream.datacenter),
        ("LocalBindAddress", upstream.local_bind_address),
        ("LocalBindSocketPath", upstream.local_bind_socket_path),
        ("LocalBindSocketMode", upstream.local_bind_socket_mode),
        ("Config", thawed(upstream.config)),
    ):
        if value:
            body[name] = value
    return body


def _of_service(
    service: ServiceDefinition, placed: Mapping[str, PlacedProxy], bind_address: str
) -> Iterator[Wanted]:
    sidecar_id = service.id + SIDECAR_SUFFIX
    has_sidecar = _has_sidecar(service.body)
    sidecar = placed.get(sidecar_id) if has_sidecar else None
    yield Wanted(
        id=service.id,
        service_id=service.id,
        body=frozen(_service_body(service, sidecar.port if sidecar else 0)),
        token=service.token,
        sidecar_token=service.sidecar_token if has_sidecar else NO_SECRET,
        brings=(sidecar_id,) if has_sidecar else (),
    )
    one = placed.get(service.id + PROXY_SUFFIX)
    if one is not None and not one.proxy.is_sidecar:
        body = proxy_body(one.proxy, port=one.port, bind_address=bind_address)
        yield Wanted(
            id=one.proxy.id,
            service_id=service.id,
            body=frozen(body),
            check=f"service:{one.proxy.id}" if "Check" in body else "",
            # As in Consul 1.2: the service's, else the agent's. A proxy's own ACL token may write its
            # service, not the proxy's name.
            token=service.token,
        )


def _service_body(service: ServiceDefinition, sidecar_port: int) -> dict[str, Any]:
    """As the file has it; a sidecar that is started here gets the port that it listens on."""
    body: dict[str, Any] = thawed(service.body)
    if sidecar_port:
        body["Connect"]["SidecarService"]["Port"] = sidecar_port
    return body


def _has_sidecar(body: Mapping[str, Any]) -> bool:
    return (body.get("Connect") or {}).get("SidecarService") is not None


def _sidecar(body: Mapping[str, Any]) -> Any:
    return (body.get("Connect") or {}).get("SidecarService") or {}


def _checked_host(config: Mapping[str, Any]) -> str:
    address = str(config.get("tcp_check_address") or config.get("bind_address") or "")
    return LOOPBACK if address in WILDCARDS else address


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _host_port(text: str, proxy_id: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
        return host.strip("[]"), int(port)
    message = (
        f"local_service_address of the proxy '{proxy_id}' is '{text}': give HOST:PORT, where its service"
        " listens, or give the service a port"
    )
    raise ConfigurationError(message)
