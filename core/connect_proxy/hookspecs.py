"""The hooks of a backend, in call order. The docstring is the contract.

Every hook is called on the one chosen backend (``firstresult``), through the typed facade of
:mod:`connect_proxy.backends`, which puts the backend's name on each error. A
:class:`~connect_proxy.errors.ConnectProxyError` raised by a hook is shown as it is; anything else
is a defect of the backend and named so. Extensions wrap the same hooks
(``@hookimpl(wrapper=True)``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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

hookspec = pluggy.HookspecMarker("connect_proxy")

REQUIRED = ("render_config", "launch", "supervise")


@hookspec(firstresult=True)
def backend_options() -> Sequence[Setting]:
    """The backend's own command-line options. Optional.

    When: before the command line is read, also for ``--help``. May not do I/O. Names must not
    repeat one of the core's; by convention they carry the backend's word (``envoy-binary``).
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def describe_registration(options: Mapping[str, Sourced]) -> DescribedRegistration | None:
    """The proxy that the backend's own options describe; None if they describe none. Optional.

    When: neither ``-proxy-id`` nor ``-sidecar-for`` names a registered one. May not do I/O.
    Errors: UsageError for options that contradict each other or are malformed.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def wanted_gateway(options: Mapping[str, Sourced]) -> WantedGateway | None:
    """The gateway that the backend's own options ask for; None if a sidecar is meant. Optional.

    When: before the look-up at the agent. May look at this host's own addresses, no further I/O.
    Errors: UsageError for options that contradict each other or are malformed.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def wanted_node(options: Mapping[str, Sourced]) -> str | None:
    """The node in whose catalog record the proxy stands; None if the agent itself has it. Optional.

    When: before the look-up, with ``-proxy-id`` and for gateways too. By convention the option is
    ``-node-name``. May not do I/O. Errors: UsageError for options that contradict it.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def gather_facts(context: ProxyContext) -> Mapping[str, Any]:
    """What must be looked up on this host before anything can be rendered. Optional.

    When: once, after the context is resolved. The only hook before ``launch`` that may do I/O
    (find a program and its version, resolve a name). The result becomes ``context.facts``.
    Errors: MissingProgramError, UsageError for contradicting options, RefusedError for versions.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def render_config(context: ProxyContext) -> RenderedConfig:
    """What the proxy is to be told. Required.

    When: after ``gather_facts``. Pure: the same context gives the same bytes, no I/O. This is what
    ``-bootstrap`` prints. Errors: ConfigurationError naming the key of the registration's config.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def launch(context: ProxyContext, config: RenderedConfig) -> Launch:
    """What to run: a program that takes connect-proxy's place, a supervised child, or own code. Required.

    When: right before the start. No secret may stand in argv; documents are handed over by
    descriptor. Errors: MissingProgramError.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def supervise(context: ProxyContext, process: ProxyProcess) -> Supervision:
    """How to tell that it is ready, how to drain, stop and reload it, which exits are final. Required.

    When: after each start, of a child or of own code; again after a restart.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def describe() -> Mapping[str, str]:
    """The programs that it would use on this host, by name: path and version, or "not found". Optional.

    When: for ``connect-proxy --version`` only, without a context. May look for programs and ask
    them for their version; may not raise for one that is missing. What it raises is shown in its
    place and harms nothing else.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def traits() -> BackendTraits:
    """What the agent of managed proxies may rely on; without this hook on nothing. Optional.

    When: as the agent decides how to replace a process of it. May not do I/O.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def embedded_xds() -> XdsService | None:
    """What serves xDS on the embedded agent's gRPC port; None if it cannot here. Optional.

    When: as ``connect-proxy agent -dev`` starts with a gRPC port. The service is started by the
    agent, not here: may not do I/O.
    """
    raise NotImplementedError
