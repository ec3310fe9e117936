"""The chosen backend: its hooks as typed methods, its name on every error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connect_proxy.errors import BackendError, ConnectProxyError
from connect_proxy.mesh.immutable import EMPTY, frozen

if TYPE_CHECKING:
    import pluggy

    from connect_proxy.plugin_api import (
        BackendTraits,
        DescribedRegistration,
        Launch,
        ProxyContext,
        ProxyProcess,
        RenderedConfig,
        Setting,
        Sourced,
        Supervision,
        WantedGateway,
        XdsService,
    )


class Backend:
    """The chosen backend behind typed hooks, each error carrying its name."""

    def __init__(self, name: str, manager: pluggy.PluginManager) -> None:
        self.name = name
        self._manager = manager

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    def options(self) -> Sequence[Setting]:
        """Its own command-line options; none if it has no such hook."""
        from connect_proxy.plugin_api import Setting

        rows: Sequence[Setting] = self._call("backend_options", (list, tuple), default=())
        for row in rows:
            if not isinstance(row, Setting):
                raise BackendError(self.name, "backend_options", TypeError(f"returned {row!r}"))
        return tuple(rows)

    def describe(self) -> Mapping[str, str]:
        """Versions of the programs that it would use on this host; none if it has no such hook."""
        described: Mapping[str, str] = self._call("describe", (Mapping,), default=EMPTY)
        return described

    def embedded_xds(self) -> XdsService | None:
        """What serves xDS on the embedded agent's gRPC port; None if it has no such hook."""
        service: XdsService | None = self._call("embedded_xds", (object,))
        return service

    def traits(self) -> BackendTraits:
        """What the agent of managed proxies may rely on; nothing if it has no such hook."""
        from connect_proxy.plugin_api import BackendTraits

        traits: BackendTraits = self._call("traits", (BackendTraits,), default=BackendTraits())
        return traits

    def describe_registration(self, options: Mapping[str, Sourced]) -> DescribedRegistration | None:
        """The proxy that its options describe, if they describe one."""
        from connect_proxy.plugin_api import DescribedRegistration

        kinds = (DescribedRegistration, type(None))
        described: DescribedRegistration | None = self._call(
            "describe_registration", kinds, options=options
        )
        return described

    def wanted_gateway(self, options: Mapping[str, Sourced]) -> WantedGateway | None:
        """The gateway that its options ask for, if they ask for one."""
        from connect_proxy.plugin_api import WantedGateway

        kinds = (WantedGateway, type(None))
        wanted: WantedGateway | None = self._call("wanted_gateway", kinds, options=options)
        return wanted

    def wanted_node(self, options: Mapping[str, Sourced]) -> str:
        """The node whose catalog record its options ask for; empty if they ask for none."""
        node: str = self._call("wanted_node", (str,), default="", options=options)
        return node

    def gather_facts(self, context: ProxyContext) -> Mapping[str, Any]:
        """What it found on this host; nothing if it has no such hook."""
        facts: Mapping[str, Any] = self._call("gather_facts", (Mapping,), default=EMPTY, context=context)
        return frozen(facts)  # type: ignore[no-any-return]  # frozen() keeps the kind

    def render_config(self, context: ProxyContext) -> RenderedConfig:
        """What the proxy is to be told."""
        from connect_proxy.plugin_api import RenderedConfig

        config: RenderedConfig = self._call("render_config", (RenderedConfig,), context=context)
        return config

    def launch(self, context: ProxyContext, config: RenderedConfig) -> Launch:
        """What to run."""
        from connect_proxy.plugin_api import ChildLaunch, ExecLaunch, InProcessLaunch

        kinds = (ExecLaunch, ChildLaunch, InProcessLaunch)
        what: Launch = self._call("launch", kinds, context=context, config=config)
        return what

    def supervise(self, context: ProxyContext, process: ProxyProcess) -> Supervision:
        """How to look after what was started."""
        from connect_proxy.plugin_api import Supervision

        how: Supervision = self._call("supervise", (Supervision,), context=context, process=process)
        return how

    def _call(self, hook: str, kinds: tuple[type, ...], default: Any = None, **arguments: object) -> Any:
        caller: Callable[..., object] | None = getattr(self._manager.hook, hook, None)
        if caller is None:
            return default
        try:
            result = caller(**arguments)
        except ConnectProxyError:
            raise
        except Exception as exc:
            raise BackendError(self.name, hook, exc) from exc
        if result is None and (default is not None or object in kinds):
            return default
        if not isinstance(result, kinds):
            raise BackendError(self.name, hook, TypeError(f"returned a {type(result).__name__}"))
        return result
