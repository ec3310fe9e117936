"""The one sentence about an agent that cannot be reached. Pure."""

from __future__ import annotations

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import AgentUnreachableError


def told(what: str, remedy: str, access: AgentAccess) -> AgentUnreachableError:
    """The error that names the agent, what failed, and the remedy."""
    return AgentUnreachableError(f"the Consul agent at '{access.url}' cannot be reached: {what}; {remedy}")
