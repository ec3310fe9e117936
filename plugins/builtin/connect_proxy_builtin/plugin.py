"""The hooks of the ``builtin`` backend. What they decide is in ``rendering`` and ``proxy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connect_proxy.plugin_api import (
    BackendTraits,
    DescribedRegistration,
    InProcessLaunch,
    ProxyContext,
    ProxyProcess,
    RenderedConfig,
    Setting,
    Sourced,
    Supervision,
    Type,
    hookimpl,
)
from connect_proxy_builtin.described import OPTIONS, described_registration
from connect_proxy_builtin.rendering import effective_configuration


@hookimpl
def backend_options() -> Sequence[Setting]:
    """What only this proxy can be told on the command line."""
    return (
        Setting(
            name="drain-time",
            type=Type.DURATION,
            default=10.0,
            help="How long running connections may finish after a stop signal (builtin proxy).",
            metavar="DURATION",
        ),
        *OPTIONS,
    )


@hookimpl
def describe_registration(options: Mapping[str, Sourced]) -> DescribedRegistration | None:
    """``-service`` and its companions, as ``consul connect proxy`` has them."""
    return described_registration(options)


@hookimpl
def traits() -> BackendTraits:
    """It listens beside the process before it."""
    return BackendTraits(shares_ports=True)


@hookimpl
def render_config(context: ProxyContext) -> RenderedConfig:
    """Every value in force, defaults included."""
    return RenderedConfig(document=effective_configuration(context.registration))


@hookimpl
def launch(context: ProxyContext, config: RenderedConfig) -> InProcessLaunch:
    """The proxy itself, inside connect-proxy."""
    from connect_proxy_builtin.proxy import BuiltinProxy

    return InProcessLaunch(proxy=BuiltinProxy())


@hookimpl
def supervise(context: ProxyContext, process: ProxyProcess) -> Supervision:
    """The proxy answers for itself."""
    from connect_proxy_builtin.proxy import BuiltinProxy

    proxy = process.proxy
    if not isinstance(proxy, BuiltinProxy):
        return Supervision()

    async def is_ready() -> bool:
        return proxy.is_ready()

    async def status() -> Mapping[str, Any]:
        return await proxy.fresh_status()

    async def reopen_logs() -> None:
        proxy.reopen_logs()

    async def set_log_level(level: str) -> None:
        proxy.set_log_level(level)

    return Supervision(
        is_ready=is_ready,
        drain=proxy.drain,
        drain_timeout_s=context.option("drain-time"),
        listeners=proxy.listening,
        hand_over=proxy.hand_over,
        share_ports=proxy.share_ports,
        status=status,
        reopen_logs=reopen_logs,
        set_log_level=set_log_level,
    )
