"""What ``GET /v1/agent/self`` tells about a Consul agent's xDS server. Pure reading of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from connect_proxy_envoy.version import Version, find_version

FIRST_V3 = Version(1, 10)
"""The first Consul that serves xDS v3."""
V3_ONLY = Version(1, 18)
"""The first Envoy without xDS v2: an agent that lists it or a newer one serves v3."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentXds:
    """An agent's xDS server, as far as the agent tells."""

    consul_version: Version | None = None
    plaintext_port: int = 0
    """``xDS.Ports.Plaintext`` (Consul 1.14 and newer)."""
    tls_port: int = 0
    """``xDS.Ports.TLS``."""
    debug_grpc_port: int | None = None
    """``DebugConfig.GRPCPort``: what older agents tell; negative or 0 is "off"."""
    supported_envoys: tuple[str, ...] = ()
    ipv6: bool = False
    """The agent is bound to an IPv6 address."""

    @property
    def newest_envoy(self) -> Version | None:
        """The newest Envoy that the agent lists; None if it lists none."""
        return max((found for found in map(find_version, self.supported_envoys) if found), default=None)

    @property
    def names_ports(self) -> bool:
        """Whether the agent says itself where its xDS is and whether it is TLS."""
        return self.plaintext_port > 0 or self.tls_port > 0

    @property
    def is_off(self) -> bool:
        """Whether the agent serves no gRPC."""
        return not self.names_ports and (self.debug_grpc_port is None or self.debug_grpc_port <= 0)

    @property
    def serves_v3(self) -> bool:
        """Whether its xDS is the version that Envoys of today speak."""
        if self.names_ports:
            return True
        new_consul = self.consul_version is not None and self.consul_version >= FIRST_V3
        new_envoy = self.newest_envoy is not None and self.newest_envoy >= V3_ONLY
        return not self.is_off and (new_consul or new_envoy)


def read_agent_xds(agent_self: Mapping[str, Any]) -> AgentXds:
    """The xDS server that *agent_self* describes; what is missing or malformed counts as not told."""
    xds = _mapping(agent_self.get("xDS"))
    ports = _mapping(xds.get("Ports"))
    debug = _mapping(agent_self.get("DebugConfig"))
    config = _mapping(agent_self.get("Config"))
    listed = _mapping(xds.get("SupportedProxies")).get("envoy") or ()
    grpc_port = debug.get("GRPCPort")
    return AgentXds(
        consul_version=find_version(str(config.get("Version", ""))),
        plaintext_port=_port(ports.get("Plaintext")),
        tls_port=_port(ports.get("TLS")),
        debug_grpc_port=grpc_port if isinstance(grpc_port, int) else None,
        supported_envoys=tuple(str(version) for version in listed),
        ipv6=_is_ipv6(config.get("BindAddr") or debug.get("BindAddr")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _port(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _is_ipv6(value: object) -> bool:
    try:
        address = ip_address(str(value))
    except ValueError:
        return False
    return address.version == 6 and address.ipv4_mapped is None
