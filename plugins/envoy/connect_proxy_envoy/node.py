"""Names that both versions of the bootstrap have."""

from __future__ import annotations

from typing import Final

from connect_proxy.mesh.registration import CONNECT_PROXY
from connect_proxy.plugin_api import ProxyContext

AGENT_CLUSTER: Final = "local_agent"


def node_cluster(context: ProxyContext) -> str:
    """``node.cluster``: the service it stands for, a gateway's own name, else the proxy's id."""
    if context.registration.kind != CONNECT_PROXY:
        return context.registration.name
    return context.service or context.registration.id
