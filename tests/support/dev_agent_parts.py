"""Parts of the embedded agent, without its listeners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connect_proxy.dev_agent.access import Access, OpenAccess
from connect_proxy.dev_agent.assembly import build_state
from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.definition import SERVICE_DEFINITION, service_definition
from connect_proxy.dev_agent.options import DevAgentOptions
from connect_proxy.dev_agent.state import AgentState, Ports


def agent_state(*, access: Access | None = None, **options: Any) -> AgentState:
    """A whole agent's state. *options* are those of DevAgentOptions."""
    return build_state(
        DevAgentOptions(**{"node": "node1", **options}),
        changes=Changes(),
        access=access or OpenAccess(),
        ports=Ports(server=8300),
    )


def register(state: AgentState, body: Mapping[str, Any], *, replace_checks: bool = False) -> None:
    """``PUT /v1/agent/service/register``. Needs a running loop if there are checks."""
    definition = service_definition(SERVICE_DEFINITION(dict(body), ""))
    state.registry.register(definition, replace_checks=replace_checks)
