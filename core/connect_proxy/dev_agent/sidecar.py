"""``connect.sidecar_service``: the proxy registration that Consul derives from a service's own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from connect_proxy.dev_agent.definition import ServiceDefinition
from connect_proxy.dev_agent.records import PASSING, CheckDefinition, ProxyRecord, ServiceRecord
from connect_proxy.errors import ApiError
from connect_proxy.mesh.registration import CONNECT_PROXY

SUFFIX: Final = "-sidecar-proxy"
LISTENING_INTERVAL: Final = 10.0
"""Seconds between two probes of the default TCP check."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PortRange:
    """The ports handed out to sidecars, both ends included (``ports.sidecar_min_port`` …)."""

    first: int = 21000
    last: int = 21255

    def allocate(self, taken: Iterable[int], *, is_free: Callable[[int], bool]) -> int:
        """The lowest port that no local service has, and that *is_free* on this machine.

        Consul does not look at the machine; with several agents on one host every one of them
        would hand out the same port.
        """
        if self.first <= 0 or self.last <= 0:
            raise ApiError(
                500, "Bad request: sidecar port range is not configured: auto-assignment disabled"
            )
        used = frozenset(taken)
        for port in range(self.first, self.last + 1):
            if port not in used and is_free(port):
                return port
        message = (
            "Bad request: unable to allocate port for sidecar service: none left in the configured "
            f"range [{self.first}, {self.last}]"
        )
        raise ApiError(500, message)


def port_is_free(port: int) -> bool:
    """Whether a listener could bind *port* on all addresses of this machine now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Sidecar:
    """A sidecar ready to be registered."""

    service: ServiceRecord
    checks: tuple[CheckDefinition, ...]


def derive_sidecar(
    definition: ServiceDefinition, *, parent: ServiceRecord, allocate: Callable[[str], int]
) -> Sidecar:
    """The sidecar of *parent* by *definition*. *allocate* gives a port for a sidecar's id."""
    given = definition.service
    sidecar_id = parent.id + SUFFIX
    proxy = _proxy(given.proxy, parent)
    service = replace(
        given,
        id=sidecar_id,
        name=given.name or parent.name + SUFFIX,
        kind=CONNECT_PROXY,
        tags=given.tags or parent.tags,
        meta=given.meta or parent.meta,
        address=given.address or parent.address,
        port=given.port or allocate(sidecar_id),
        proxy=proxy,
        token=given.token or parent.token,
        is_sidecar_of=parent.id,
    )
    return Sidecar(service=service, checks=definition.checks or _default_checks(service, parent))


def _proxy(given: ProxyRecord, parent: ServiceRecord) -> ProxyRecord:
    return replace(
        given,
        destination_service_name=given.destination_service_name or parent.name,
        destination_service_id=given.destination_service_id or parent.id,
        local_service_address=given.local_service_address or "127.0.0.1",
        local_service_port=given.local_service_port or max(parent.port, 0),
    )


def _default_checks(service: ServiceRecord, parent: ServiceRecord) -> tuple[CheckDefinition, ...]:
    """A probe of the public listener, at the local service's host as in Consul, and an alias."""
    return (
        CheckDefinition(
            name="Connect Sidecar Listening",
            tcp=host_port(service.proxy.local_service_address, service.port),
            interval=LISTENING_INTERVAL,
        ),
        CheckDefinition(
            name=f"Connect Sidecar Aliasing {parent.id}", alias_service=parent.id, status=PASSING
        ),
    )


def host_port(host: str, port: int) -> str:
    """``host:port``, IPv6 in brackets."""
    try:
        return f"[{host}]:{port}" if ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:
        return f"{host}:{port}"
