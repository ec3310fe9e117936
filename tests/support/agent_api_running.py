"""The agent's API of managed proxies inside the test's own event loop, before an embedded agent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import connect_consul
from connect_proxy.managed.api import AgentApi, PublishedProxy
from connect_proxy.managed.configuration import ManagedProxy
from connect_proxy.managed.registrar import Registrar
from connect_proxy.managed.tokens import token_hash
from connect_proxy.secret import Secret
from connect_proxy.serving.listeners import listen_tcp
from support.dev_agent_running import client_of


@dataclass(frozen=True, kw_only=True)
class RunningApi:
    api: AgentApi
    registrar: Registrar
    http: httpx.AsyncClient
    port: int
    withdrawn: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def running_api(
    access: AgentAccess, *, allows_registration: bool = False
) -> AsyncIterator[RunningApi]:
    """On a free port, in front of the Consul at *access*."""
    client = connect_consul(access)
    withdrawn: list[str] = []
    registrar = Registrar(client, on_withdrawn=withdrawn.append)
    api = AgentApi(access=access, registrar=registrar, allow_managed_api_registration=allows_registration)
    listener = listen_tcp("127.0.0.1", 0, what="HTTP")
    port = int(listener.getsockname()[1])
    await api.start(listener)
    try:
        async with client_of(f"127.0.0.1:{port}") as http:
            yield RunningApi(api=api, registrar=registrar, http=http, port=port, withdrawn=withdrawn)
    finally:
        await api.stop()
        await client.aclose()
        listener.close()


def published(
    proxy: ManagedProxy, *, token: str = "web-token", port: int = 20001, is_local: bool = True
) -> PublishedProxy:
    return PublishedProxy(
        proxy=proxy, port=port, token_hash=token_hash(Secret(token)), token_is_local=is_local
    )
