"""Envoy's node: the names that both versions of the bootstrap have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connect_proxy.errors import UsageError
from connect_proxy.mesh.registration import CONNECT_PROXY
from connect_proxy.plugin_api import ProxyContext, Sourced
from connect_proxy_envoy.settings import XDS_LOCAL

AGENT_CLUSTER: Final = "local_agent"


def node_cluster(context: ProxyContext) -> str:
    """``node.cluster``: the service it stands for, a gateway's own name, else the proxy's id."""
    if context.registration.kind != CONNECT_PROXY:
        return context.registration.name
    return context.service or context.registration.id


def node_metadata(context: ProxyContext, **others: str) -> dict[str, str]:
    """``node.metadata``: where the proxy stands, as Consul's xDS reads it, then *others*."""
    name = context.option("node-name")
    named = {"node_name": name} if name else {}
    return {**named, "namespace": context.registration.namespace or "default", **others}


def wanted_node(options: Mapping[str, Sourced]) -> str | None:
    """What ``-node-name`` says; None without it. Raises UsageError for what it rules out."""
    node = str(options["node-name"].value or "")
    if not node:
        return None
    if options["register"].value:
        message = (
            f"-node-name {node!r} is for a gateway that is in the catalog without an agent, and -register "
            "registers one at an agent; leave one of the two out"
        )
        raise UsageError(message)
    if options["xds"].value == XDS_LOCAL:
        message = (
            f"-xds local follows a registration at an agent, and with -node-name {node!r} there is none; "
            "leave -xds local out, so that Consul configures Envoy"
        )
        raise UsageError(message)
    return node
