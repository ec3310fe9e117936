"""PUBLIC. All that a backend imports: the hook marker and the values that pass through the hooks.

A backend is a module with functions of :mod:`connect_proxy.hookspecs`, decorated with :data:`hookimpl`,
and an entry point of its name in the group ``connect_proxy.backends``: ``docs/how-to/write-a-backend.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import pluggy

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient
from connect_proxy.mesh.immutable import EMPTY, thawed
from connect_proxy.mesh.registration import Registration
from connect_proxy.secret import MASK, Secret
from connect_proxy.settings.setting import Setting, Source, Sourced, Type
from connect_proxy.snapshot.snapshot import SnapshotFeed
from connect_proxy.supervision import BackendTraits, Supervision

__all__ = [
    "ENTRY_POINT_GROUP",
    "EXTENSION_GROUP",
    "AgentAccess",
    "BackendTraits",
    "ChildLaunch",
    "Companion",
    "ConsulClient",
    "DescribedRegistration",
    "ExecLaunch",
    "InProcessLaunch",
    "InProcessProxy",
    "InheritedDocument",
    "Launch",
    "ProxyContext",
    "ProxyProcess",
    "ProxyRuntime",
    "RenderedConfig",
    "Secret",
    "Setting",
    "SnapshotFeed",
    "Source",
    "Sourced",
    "Supervision",
    "Type",
    "WantedGateway",
    "XdsService",
    "hookimpl",
]

ENTRY_POINT_GROUP: Final = "connect_proxy.backends"
EXTENSION_GROUP: Final = "connect_proxy.extensions"

hookimpl = pluggy.HookimplMarker("connect_proxy")


@dataclass(frozen=True, kw_only=True)
class DescribedRegistration:
    """A proxy that the command line itself describes, instead of one that is registered in Consul."""

    registration: Registration
    definition: Mapping[str, Any] | None = None
    """Body of ``PUT /v1/agent/service/register`` for the time of the run; a TTL check is added."""


@dataclass(frozen=True, kw_only=True)
class WantedGateway:
    """A proxy that is no sidecar: it is found by its kind, or registered first."""

    kind: str  # as in Consul: mesh-gateway, terminating-gateway, ingress-gateway, api-gateway
    definition: Mapping[str, Any] | None = None
    """Body of ``PUT /v1/agent/service/register``; it stays. ``-proxy-id`` replaces its ``ID``."""


@dataclass(frozen=True, kw_only=True)
class ProxyContext:
    """Everything that was resolved about the proxy to run. Frozen; hooks decide from it alone."""

    registration: Registration
    agent: AgentAccess
    agent_self: Mapping[str, Any] | None = None
    """``GET /v1/agent/self``; None where the token may not read it (agent:read)."""
    datacenter: str = ""
    """The agent's datacenter; empty if neither agent/self nor the registration told it."""
    options: Mapping[str, Sourced] = EMPTY
    """The backend's own options by name, each with its source."""
    passthrough: tuple[str, ...] = ()
    """The words after ``--``, unchanged."""
    log_level: str = "INFO"
    """TRACE, DEBUG, INFO, WARN or ERROR."""
    log_json: bool = False
    environment: Mapping[str, str] = field(default=EMPTY, repr=False)
    """connect-proxy's own environment; may hold secrets."""
    runtime_dir: str = ""
    """Short path of a directory (0700) for sockets; there if ``Launch.runtime_dir`` asks for it."""
    described: DescribedRegistration | None = None
    """Set where the command line described the proxy: then Consul need not know it."""
    inherited: Mapping[str, int] = EMPTY
    """Descriptors that ``Supervision.listeners`` of the process before this one named."""
    bootstrap_only: bool = False
    """The rendered config is only printed: nothing will be started on this machine."""
    facts: Mapping[str, Any] = EMPTY
    """What the backend's ``gather_facts`` found on this host."""

    @property
    def is_managed(self) -> bool:
        """Whether an agent started it, beside others on this host: defaults must not clash."""
        return "CONNECT_PROXY_CONTROL_SOCKET" in self.environment

    @property
    def shared_addresses(self) -> tuple[str, ...]:
        """``host:port`` (no host: IPv4 and IPv6 alike) where its predecessor listens as long as it is not
        ready: every TCP listener is bound with SO_REUSEPORT then. Empty: it stands alone."""
        return tuple(self.environment.get("CONNECT_PROXY_SHARED_ADDRESSES", "").split())

    @property
    def service(self) -> str:
        """The service it stands for: its identity in the mesh."""
        return self.registration.destination_service_name

    def option(self, name: str) -> Any:
        """The value of the backend's own option *name*."""
        return self.options[name].value


@dataclass(frozen=True, kw_only=True)
class RenderedConfig:
    """What the proxy is to be told. ``-bootstrap`` prints it."""

    document: Mapping[str, Any] | bytes = field(repr=False)
    media_type: str = "application/json"
    secrets: tuple[str, ...] = ()
    """JSON pointers (RFC 6901) of the parts that are secret, for a mapping."""
    mask_when_printed: bool = True
    """False: ``-bootstrap`` prints the secrets too, since the output is meant to start a proxy from."""

    def masked(self) -> Mapping[str, Any] | bytes:
        """The document with every secret part replaced by ``<hidden>``; bytes are left as they are."""
        if isinstance(self.document, bytes):
            return self.document
        copy = thawed(self.document)
        for pointer in self.secrets:
            _mask(
                copy,
                [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]],
            )
        masked: Mapping[str, Any] = copy
        return masked


def _mask(document: Any, path: list[str]) -> None:
    """Replace what *path* leads to, if it is there and not empty."""
    for part in path[:-1]:
        document = document[int(part)] if isinstance(document, list) else document.get(part, {})
    key: Any = int(path[-1]) if isinstance(document, list) else path[-1]
    if isinstance(document, list) or key in document:
        document[key] = MASK if document[key] else document[key]


@dataclass(frozen=True, kw_only=True)
class InheritedDocument:
    """Bytes that reach the process by a descriptor or a pipe: never by argv or a lasting file."""

    placeholder: str
    """Stands in argv (as a whole word or inside one) for the path to open, such as ``{bootstrap}``."""
    content: bytes = field(repr=False)
    delivery: str = "descriptor"
    """``descriptor``: /dev/fd/N of an anonymous file; ``named_pipe``: a 0600 fifo, gone once read."""


@dataclass(frozen=True, kw_only=True)
class ExecLaunch:
    """A program that takes connect-proxy's place in the foreground. Managed, it is a child that stays."""

    argv: tuple[str, ...]
    """argv[0] is the program: a path, or a name searched in PATH of :attr:`env`."""
    env: Mapping[str, str] = field(repr=False)
    """The whole environment of the program."""
    documents: tuple[InheritedDocument, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChildLaunch:
    """A program that runs as a supervised child, beside a companion inside connect-proxy."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    documents: tuple[InheritedDocument, ...] = ()
    companion: Companion | None = None
    runtime_dir: bool = False
    """Whether ``ProxyContext.runtime_dir`` has to exist."""


@dataclass(frozen=True, kw_only=True)
class InProcessLaunch:
    """A proxy that runs inside connect-proxy's own process."""

    proxy: InProcessProxy
    runtime_dir: bool = False


Launch = ExecLaunch | ChildLaunch | InProcessLaunch


class ProxyRuntime(Protocol):
    """What connect-proxy lends to code that runs inside it (companions and in-process proxies)."""

    @property
    def context(self) -> ProxyContext:
        """What was resolved."""

    @property
    def consul(self) -> ConsulClient:
        """The agent. Shared: do not close it."""

    @property
    def snapshots(self) -> SnapshotFeed:
        """The proxy's world, kept fresh."""


class Companion(Protocol):
    """Something that connect-proxy runs beside a child: the xDS server beside Envoy."""

    async def start(self, runtime: ProxyRuntime) -> None:
        """Be ready for the child when this returns. The child is started after it."""

    async def stop(self) -> None:
        """End everything. Called once the child is gone, also after a failed start."""

    def status(self) -> Mapping[str, Any]:
        """A JSON-able picture for the state dump."""


class XdsService(Protocol):
    """Serves Envoy's xDS from an agent's HTTP API: what fills the embedded agent's gRPC port."""

    @property
    def supported_envoys(self) -> tuple[str, ...]:
        """The Envoy versions it speaks to, newest first, as ``agent/self`` lists them."""

    async def start(self, listen_address: str, agent_http_url: str) -> int:
        """Listen on *listen_address* (``host:port``, port 0 picks one); the port.

        Raises MissingDependencyError, PortInUseError.
        """

    async def stop(self) -> None:
        """Stop listening and end all streams."""


class InProcessProxy(Protocol):
    """A data plane inside connect-proxy."""

    async def run(self, runtime: ProxyRuntime) -> int:
        """Serve until stopped; the exit code. Cancellation means: stop at once."""

    def is_ready(self) -> bool:
        """Whether the public listener (if any) and the upstream listeners accept with a valid leaf."""

    async def drain(self, timeout_s: float) -> None:
        """Stop the public listener, let connections finish for up to *timeout_s*, then let run() end."""

    def status(self) -> Mapping[str, Any]:
        """A JSON-able picture for the state dump."""

    def set_log_level(self, level: str) -> None:
        """From now on log at *level*."""


@dataclass(frozen=True, kw_only=True)
class ProxyProcess:
    """What was started."""

    pid: int
    proxy: InProcessProxy | None = None
    """The data plane itself where it runs inside connect-proxy."""
