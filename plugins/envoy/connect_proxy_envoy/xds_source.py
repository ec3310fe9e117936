"""Who configures Envoy, the agent or connect-proxy: the decision and its reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connect_proxy.errors import RefusedError
from connect_proxy_envoy.agent_self import AgentXds
from connect_proxy_envoy.settings import XDS_AGENT, XDS_AUTO, XDS_LOCAL
from connect_proxy_envoy.version import OLDEST_SERVED, Version, is_supported


@dataclass(frozen=True, kw_only=True, slots=True)
class XdsSource:
    """``agent`` or ``local``, and why."""

    source: str
    reason: str

    @property
    def is_local(self) -> bool:
        """Whether connect-proxy serves xDS itself."""
        return self.source == XDS_LOCAL


def choose_xds_source(
    wanted: str,
    agent: AgentXds | None,
    envoy: Version,
    *,
    ignore_compatibility: bool,
    from_catalog: bool = False,
) -> XdsSource:
    """The source for ``-xds`` *wanted*. Of a proxy *from_catalog* only Consul knows what it needs.

    *agent* is None where the token may not read agent/self. Raises RefusedError where ``-xds agent``
    was asked for and the agent does not support this Envoy, and where this Envoy is too old for ours.
    """
    if wanted == XDS_LOCAL:
        return _local(envoy, "-xds local was given")
    objection = _objection(agent, envoy, ignore_compatibility=ignore_compatibility)
    if wanted == XDS_AUTO and objection and not from_catalog:
        return _local(envoy, objection)
    if agent is not None and not ignore_compatibility and not is_supported(envoy, agent.supported_envoys):
        instead = "another Envoy" if from_catalog else "-xds local, which serves any Envoy,"
        message = (
            f"Envoy {envoy} is not supported by this Consul agent, which lists "
            f"{', '.join(agent.supported_envoys)}; use {instead} or -ignore-envoy-compatibility"
        )
        raise RefusedError(message)
    if wanted == XDS_AGENT:
        return XdsSource(source=XDS_AGENT, reason="-xds agent was given")
    if from_catalog:
        reason = "with -node-name no agent has the registration that -xds local would follow"
        return XdsSource(source=XDS_AGENT, reason=reason)
    if agent is None:
        reason = "agent/self may not be read with this token (agent:read)"
        return XdsSource(source=XDS_AGENT, reason=reason)
    return XdsSource(source=XDS_AGENT, reason=f"the agent serves xDS v3 and supports Envoy {envoy}")


def _local(envoy: Version, reason: str) -> XdsSource:
    """Our own xDS. Raises RefusedError for an Envoy that would not heed all of it."""
    if envoy < OLDEST_SERVED:
        message = (
            f"Envoy {envoy} is too old for connect-proxy's own xDS ({reason}): it would not check whom it "
            f"talks to; install Envoy {OLDEST_SERVED} or newer"
        )
        raise RefusedError(message)
    return XdsSource(source=XDS_LOCAL, reason=reason)


def _objection(agent: AgentXds | None, envoy: Version, *, ignore_compatibility: bool) -> str:
    """Why the agent's xDS cannot serve *envoy*; empty if nothing speaks against it."""
    if agent is None:
        return ""
    if not agent.serves_v3:
        if agent.is_off:
            return "the agent has gRPC disabled"
        consul = agent.consul_version or "of unknown version"
        return f"Consul {consul} is not known to serve xDS v3, which Envoy {envoy} speaks"
    if not ignore_compatibility and not is_supported(envoy, agent.supported_envoys):
        return f"the agent supports Envoy {', '.join(agent.supported_envoys)}, this is {envoy}"
    return ""
