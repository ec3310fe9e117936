"""The embedded agent: starts its parts and listeners, and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from connect_proxy.dev_agent.access import Access, OpenAccess
from connect_proxy.dev_agent.assembly import build_state
from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.dev_agent.dns.server import DnsServer
from connect_proxy.dev_agent.http.server import build_app
from connect_proxy.dev_agent.options import DevAgentOptions, Listening, XdsService
from connect_proxy.dev_agent.sidecar import host_port
from connect_proxy.dev_agent.state import OFF, AgentState, Ports
from connect_proxy.dev_agent.storage.capture import captured, resume
from connect_proxy.dev_agent.storage.keeper import Keeper
from connect_proxy.dev_agent.storage.opening import AgentStorage
from connect_proxy.serving.asgi_server import AsgiServer
from connect_proxy.serving.listeners import listen_tcp, listen_unix

__all__ = [
    "AgentStorage",
    "DevAgent",
    "DevAgentOptions",
    "Front",
    "Listening",
    "XdsService",
    "run_dev_agent",
]

_SERVER_PORT: Final = 8300
"""What the one server claims as its port where HTTP has none; nothing listens there."""
_log = logging.getLogger("connect_proxy.dev_agent")

Front = Callable[[ASGIApp], ASGIApp]


class DevAgent:
    """One agent. ``start`` once, ``stop`` once."""

    def __init__(
        self,
        options: DevAgentOptions,
        *,
        access: Access | None = None,
        xds: XdsService | None = None,
        front: Front | None = None,
        storage: AgentStorage | None = None,
    ) -> None:
        """*front* may take requests before the agent's own API does: it is given that application and
        returns the one that is served. *storage*: where the state is kept; without, it is in memory."""
        self.options = options
        self._storage = storage
        self._kept = None if storage is None else storage.kept
        self.changes = Changes(start=0 if self._kept is None else self._kept.index)
        self._access = access or OpenAccess()
        self._xds = xds
        self._front = front
        self._stack = contextlib.AsyncExitStack()
        self._clients = contextlib.AsyncExitStack()
        """What uses the agent's own HTTP API: ends first."""

    async def start(self) -> Listening:
        """Listen and serve. Raises PortInUseError or ConfigurationError; nothing is left behind then."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End blocked queries at once, then everything else."""
        await self._clients.aclose()
        self.changes.close()
        await self._stack.aclose()

    async def _start(self) -> Listening:
        listener = self._listen_http()
        http_port = 0 if self.options.http_socket else int(listener.getsockname()[1])
        http = f"unix://{self.options.http_socket}" if self.options.http_socket else self._at(http_port)
        state = build_state(
            self.options,
            changes=self.changes,
            access=self._access,
            ports=Ports(http=http_port or OFF, server=http_port or _SERVER_PORT),
            supported_envoys=() if self._xds is None else self._xds.supported_envoys,
            kept=self._kept,
        )
        # The HTTP socket listens already: who asks before it is served, as xDS may, waits.
        ports = replace(state.ports, dns=await self._start_dns(state), grpc=await self._start_xds(http))
        state = replace(state, ports=ports)
        await self._serve(state, listener)
        _log.info("agent %r listens on %s", self.options.node, http)
        return Listening(
            http=http,
            dns=self._at(ports.dns),
            grpc=self._at(ports.grpc),
            datacenter=self.options.datacenter,
            node=self.options.node,
            node_id=state.catalog.node.id,
            trust_domain=state.authority.trust_domain,
        )

    def _listen_http(self) -> socket.socket:
        if self.options.http_socket:
            path = Path(self.options.http_socket)
            listener = listen_unix(path)
            self._stack.callback(path.unlink, missing_ok=True)
        else:
            listener = listen_tcp(self.options.listener_host, self.options.http_port, what="HTTP")
        self._stack.callback(listener.close)
        return listener

    async def _start_dns(self, state: AgentState) -> int:
        if self.options.dns_port == OFF:
            return OFF
        server = DnsServer(Resolver(catalog=state.catalog, queries=state.queries))
        self._stack.push_async_callback(server.stop)
        return await server.start(self.options.listener_host, self.options.dns_port)

    async def _start_xds(self, http: str) -> int:
        if self._xds is None or self.options.grpc_port == OFF:
            return OFF
        url = http if self.options.http_socket else f"http://{http}"
        port = await self._xds.start(host_port(self.options.listener_host, self.options.grpc_port), url)
        self._clients.push_async_callback(self._xds.stop)
        return port

    async def _serve(self, state: AgentState, listener: socket.socket) -> None:
        self._stack.callback(state.checks.stop)
        if self._storage is not None:
            state = await self._keep(state, self._storage)
        renewals = asyncio.create_task(state.leaves.run(), name="leaf renewals")
        self._stack.push_async_callback(_ended, renewals)
        app: ASGIApp = build_app(state)
        server = AsgiServer(app if self._front is None else self._front(app), [listener])
        self._stack.push_async_callback(server.stop)
        await server.start()

    async def _keep(self, state: AgentState, storage: AgentStorage) -> AgentState:
        """*state* with what was kept in it, and from now on on disk."""
        if storage.kept is not None:
            resume(state, storage.kept)
        keeper = Keeper(storage.file, lambda: captured(state))
        self.changes.on_write = keeper.touch
        await keeper.start()
        self._stack.push_async_callback(keeper.stop)
        return replace(state, durability=keeper)

    def _at(self, port: int) -> str:
        """``host:port`` of a listener; empty where it is off."""
        return "" if port == OFF else host_port(self.options.listener_host, port)


async def run_dev_agent(
    options: DevAgentOptions,
    *,
    announce: Callable[[Listening], None],
    stop: asyncio.Event,
    xds: XdsService | None = None,
    front: Front | None = None,
    storage: AgentStorage | None = None,
) -> None:
    """Run an agent until *stop* is set. *announce* is called once, when it answers requests."""
    agent = DevAgent(options, xds=xds, front=front, storage=storage)
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
