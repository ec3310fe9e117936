"""All that the embedded agent holds, as the handlers see it."""

from __future__ import annotations

from dataclasses import dataclass, field

from connect_proxy.dev_agent.access import Access
from connect_proxy.dev_agent.agent_cache import AgentCache
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.ca.leaves import Leaves
from connect_proxy.dev_agent.catalog import Catalog
from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.checks.runner import CheckRunner
from connect_proxy.dev_agent.durability import Durability, InMemory
from connect_proxy.dev_agent.intentions import Intentions
from connect_proxy.dev_agent.prepared_queries import PreparedQueries
from connect_proxy.dev_agent.registry import Registry

OFF = -1
"""A port that is switched off."""
CONSUL_VERSION = "1.8.7"
"""The Consul whose behaviour is the measure; what ``agent/self`` says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where the agent's listeners are."""

    http: int = OFF
    dns: int = OFF
    grpc: int = OFF
    server: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentState:
    """The parts, put together once (:mod:`connect_proxy.dev_agent.agent`)."""

    changes: Changes
    catalog: Catalog
    checks: CheckRunner
    registry: Registry
    authority: Authority
    leaves: Leaves
    intentions: Intentions
    queries: PreparedQueries
    access: Access
    client_address: str
    ports: Ports
    sidecar_port_range: tuple[int, int]
    agent_cache: AgentCache
    durability: Durability = field(default_factory=InMemory)
    supported_envoys: tuple[str, ...] = ()
    """Versions that the gRPC port's xDS speaks to; shown only if that port is on."""
