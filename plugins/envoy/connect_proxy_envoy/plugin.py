"""The hooks of the ``envoy`` backend. Each delegates to a module of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connect_proxy.plugin_api import (
    BackendTraits,
    Launch,
    ProxyContext,
    ProxyProcess,
    RenderedConfig,
    Setting,
    Sourced,
    WantedGateway,
    hookimpl,
)
from connect_proxy_envoy.settings import SETTINGS

if TYPE_CHECKING:
    from connect_proxy.plugin_api import Supervision, XdsService


@hookimpl
def backend_options() -> Sequence[Setting]:
    """The options of ``consul connect envoy`` that concern a sidecar, and our own."""
    return SETTINGS


@hookimpl
def wanted_gateway(options: Mapping[str, Sourced]) -> WantedGateway | None:
    """``-gateway``, and with ``-register`` its registration."""
    from connect_proxy_envoy.gateway import wanted_gateway as wanted

    return wanted(options)


@hookimpl
def wanted_node(options: Mapping[str, Sourced]) -> str | None:
    """``-node-name``."""
    from connect_proxy_envoy.node import wanted_node as wanted

    return wanted(options)


@hookimpl
def traits() -> BackendTraits:
    """It listens beside the process before it, as Envoy's listeners do anyway."""
    return BackendTraits(shares_ports=True)


@hookimpl
def gather_facts(context: ProxyContext) -> Mapping[str, Any]:
    """Envoy, its version, the agent's xDS, the admin address."""
    from connect_proxy_envoy.facts import gather

    return gather(context).as_mapping()


@hookimpl
def render_config(context: ProxyContext) -> RenderedConfig:
    """Envoy's bootstrap."""
    from connect_proxy_envoy.bootstrap import render

    return render(context)


@hookimpl
def launch(context: ProxyContext, config: RenderedConfig) -> Launch:
    """Envoy in our place (agent's xDS) or as a child beside our xDS server (local)."""
    from connect_proxy_envoy.launching import launch as launch_envoy

    return launch_envoy(context, config)


@hookimpl
def supervise(context: ProxyContext, process: ProxyProcess) -> Supervision:
    """By Envoy's admin API."""
    from connect_proxy_envoy.supervision import supervision

    return supervision(context, process)


@hookimpl
def describe() -> Mapping[str, str]:
    """The Envoy that would be run: its path and version."""
    from connect_proxy_envoy.program import describe_program

    return {"envoy": describe_program(os.environ)}


@hookimpl
def embedded_xds() -> XdsService | None:
    """ADS for whatever is registered at the embedded agent; None without the ``envoy`` extra."""
    from connect_proxy_envoy.xds.embedded import offer_xds

    return offer_xds()
