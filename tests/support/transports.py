"""One request over one of the transports to a scripted agent, for what all of them have to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.http_client import Transport
from connect_proxy.consul.request import AgentRequest, HttpAnswer
from connect_proxy.errors import ConsulError
from connect_proxy.secret import NO_SECRET, Secret
from support.scripted_agent import Received, Reply, ScriptedAgent
from support.tls_files import ServerTls

ASK = AgentRequest(path="/v1/x")
TOKEN = "5ec5e7c0-ffee-4a11-babe-000000000000"


@dataclass(frozen=True)
class Asking:
    """By the transport of this kind."""

    kind: Callable[[AgentAccess], Transport]

    async def once(
        self, access: AgentAccess, request: AgentRequest = ASK, token: Secret = NO_SECRET
    ) -> HttpAnswer:
        transport = self.kind(access)
        try:
            return await transport.exchange(request, token=token)
        finally:
            await transport.aclose()

    def received(
        self,
        request: AgentRequest = ASK,
        *,
        token: str = "",
        change: Callable[[AgentAccess], AgentAccess] = lambda a: a,
    ) -> Received:
        """What arrives at the agent."""

        async def go() -> Received:
            async with ScriptedAgent() as agent:
                agent.always(request.path, Reply(body={}))
                await self.once(change(agent.access()), request, Secret(token))
                return agent.requests[0]

        return asyncio.run(go())

    def failure(
        self,
        talk: Callable[[ScriptedAgent], Awaitable[object]],
        *,
        agent: ScriptedAgent | None = None,
    ) -> ConsulError:
        """The error that *talk* ends with, and that it shows no token."""

        async def go() -> ConsulError:
            async with agent or ScriptedAgent() as running:
                with pytest.raises(ConsulError) as caught:
                    await talk(running)
                return caught.value

        error = asyncio.run(go())
        assert TOKEN not in str(error)
        return error


def server_context(files: ServerTls, *, ask_client: bool = False) -> ssl.SSLContext:
    """For an agent with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert_file, files.key_file)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.ca_file)
    return context
