"""The embedded agent: puts the parts together, starts and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from connect_proxy.dev_agent.access import Access, OpenAccess
from connect_proxy.dev_agent.agent_cache import AgentCache
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.ca.leaves import Leaves
from connect_proxy.dev_agent.catalog import CONSUL_SERVICE, Catalog
from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.checks.runner import CheckRunner
from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.dev_agent.dns.server import DnsServer
from connect_proxy.dev_agent.http.server import HttpServer
from connect_proxy.dev_agent.intentions import Intentions
from connect_proxy.dev_agent.listeners import listen_tcp, listen_unix
from connect_proxy.dev_agent.prepared_queries import PreparedQueries
from connect_proxy.dev_agent.records import Node, ServiceRecord
from connect_proxy.dev_agent.registry import Registry
from connect_proxy.dev_agent.sidecar import PortRange, host_port
from connect_proxy.dev_agent.state import CONSUL_VERSION, OFF, AgentState, Ports
from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.immutable import frozen

_SERVER_PORT = 8300
"""What the one server claims as its port where HTTP has none; nothing listens there."""
_UNIX = "unix://"
_log = logging.getLogger("connect_proxy.dev_agent")


@dataclass(frozen=True, kw_only=True, slots=True)
class DevAgentOptions:
    """How the agent is started. Ports: 0 picks a free one, -1 is off."""

    http_port: int = 8500
    grpc_port: int = 8502
    dns_port: int = 8600
    client: str = "127.0.0.1"
    """Where HTTP, DNS and gRPC listen: an IP address, or ``unix:///path`` (HTTP alone)."""
    bind: str = "127.0.0.1"
    """The node's own address: where services without an address are reached."""
    node: str = field(default_factory=socket.gethostname)
    datacenter: str = "dc1"
    sidecar_ports: tuple[int, int] = (21000, 21255)
    """First and last port handed out to sidecars."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Where a started agent is reached. Empty: that listener is off."""

    http: str
    """``127.0.0.1:8500``, ``[::1]:8500`` or ``unix:///path``: what ``CONSUL_HTTP_ADDR`` takes."""
    dns: str
    grpc: str
    datacenter: str
    node: str
    node_id: str
    trust_domain: str


class XdsService(Protocol):
    """What fills the gRPC port: serves Envoy's xDS from the agent's own HTTP API."""

    @property
    def supported_envoys(self) -> tuple[str, ...]:
        """The Envoy versions it speaks to, newest first, as ``agent/self`` lists them."""

    async def start(self, listen_address: str, agent_http_url: str) -> int:
        """Listen on *listen_address* (``host:port``, port 0 picks one); returns the port."""

    async def stop(self) -> None:
        """Stop listening and end all streams."""


class DevAgent:
    """One agent. ``start`` once, ``stop`` once."""

    def __init__(
        self, options: DevAgentOptions, *, access: Access | None = None, xds: XdsService | None = None
    ) -> None:
        self.options = options
        self.changes = Changes()
        self._access = access or OpenAccess()
        self._xds = xds
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> Listening:
        """Listen and serve. Raises PortInUseError or ConfigurationError; nothing is left behind then."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End blocked queries at once, then everything else."""
        self.changes.close()
        await self._stack.aclose()

    async def _start(self) -> Listening:
        options = self.options
        http = self._listen_http()
        http_port = 0 if http.family == socket.AF_UNIX else http.getsockname()[1]
        http_address = _shown(options.client, http_port)
        # The HTTP socket listens already: who asks before it is served below, waits.
        state = self._build(Ports(http=http_port or OFF, server=http_port or _SERVER_PORT))
        ports = replace(
            state.ports, dns=await self._start_dns(state), grpc=await self._start_xds(http_address)
        )
        state = replace(state, ports=ports)
        self._stack.callback(state.checks.stop)
        renewals = asyncio.create_task(state.leaves.run(), name="leaf renewals")
        self._stack.push_async_callback(_ended, renewals)
        server = HttpServer(state, [http])
        await server.start()
        self._stack.push_async_callback(server.stop)
        _log.info("agent %r listens on %s", options.node, http_address)
        host = _host(options.client)
        return Listening(
            http=http_address,
            dns=host_port(host, ports.dns) if ports.dns > 0 else "",
            grpc=host_port(host, ports.grpc) if ports.grpc > 0 else "",
            datacenter=options.datacenter,
            node=options.node,
            node_id=state.catalog.node.id,
            trust_domain=state.authority.trust_domain,
        )

    def _listen_http(self) -> socket.socket:
        client = self.options.client
        if client.startswith(_UNIX):
            path = Path(client.removeprefix(_UNIX))
            listener = listen_unix(path)
            self._stack.callback(path.unlink, missing_ok=True)
        else:
            listener = listen_tcp(_ip(client), self.options.http_port, what="HTTP")
        self._stack.callback(listener.close)
        return listener

    async def _start_dns(self, state: AgentState) -> int:
        if self.options.dns_port == OFF:
            return OFF
        server = DnsServer(Resolver(catalog=state.catalog, queries=state.queries))
        self._stack.push_async_callback(server.stop)
        return await server.start(_host(self.options.client), self.options.dns_port)

    async def _start_xds(self, http_address: str) -> int:
        if self._xds is None or self.options.grpc_port == OFF:
            return OFF
        listen = host_port(_host(self.options.client), self.options.grpc_port)
        url = http_address if http_address.startswith(_UNIX) else f"http://{http_address}"
        port = await self._xds.start(listen, url)
        self._stack.push_async_callback(self._xds.stop)
        return port

    def _build(self, ports: Ports) -> AgentState:
        options, changes = self.options, self.changes
        node = Node(
            id=str(uuid.uuid4()),
            name=options.node,
            address=_ip(options.bind),
            datacenter=options.datacenter,
            meta=frozen({"consul-network-segment": ""}),
        )
        server = ServiceRecord(
            id=CONSUL_SERVICE,
            name=CONSUL_SERVICE,
            port=ports.server,
            meta=frozen(
                {
                    "non_voter": "false",
                    "raft_version": "3",
                    "serf_protocol_current": "2",
                    "serf_protocol_max": "5",
                    "serf_protocol_min": "1",
                    "version": CONSUL_VERSION,
                }
            ),
        )
        catalog = Catalog(node=node, changes=changes, server=server)
        checks = CheckRunner(catalog=catalog)
        authority = Authority(cluster_id=str(uuid.uuid4()), changes=changes, now=datetime.now(UTC))
        first, last = options.sidecar_ports
        return AgentState(
            changes=changes,
            catalog=catalog,
            checks=checks,
            registry=Registry(
                catalog=catalog, checks=checks, sidecar_ports=PortRange(first=first, last=last)
            ),
            authority=authority,
            leaves=Leaves(authority=authority, datacenter=options.datacenter, changes=changes),
            intentions=Intentions(changes=changes),
            queries=PreparedQueries(changes=changes),
            access=self._access,
            agent_cache=AgentCache(),
            client_address=_host(options.client),
            ports=ports,
            sidecar_port_range=options.sidecar_ports,
            supported_envoys=self._xds.supported_envoys if self._xds is not None else (),
        )


async def run_dev_agent(
    options: DevAgentOptions,
    *,
    announce: Callable[[Listening], None],
    stop: asyncio.Event,
    xds: XdsService | None = None,
) -> None:
    """Run an agent until *stop* is set. *announce* is called once, when it answers requests."""
    agent = DevAgent(options, xds=xds)
    listening = await agent.start()
    try:
        announce(listening)
        await stop.wait()
    finally:
        await agent.stop()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _host(client: str) -> str:
    """The address for listeners that cannot be unix sockets."""
    return "127.0.0.1" if client.startswith(_UNIX) else _ip(client)


def _shown(client: str, port: int) -> str:
    return client if client.startswith(_UNIX) else host_port(_ip(client), port)


def _ip(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as exc:
        message = f"not an IP address to listen on: {text!r}: give one, or unix:///path for HTTP"
        raise ConfigurationError(message) from exc
