"""The agent's API of managed proxies inside the test's own event loop, before an embedded agent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import connect_consul
from connect_proxy.managed.api.agent_api import AgentApi, PublishedProxy
from connect_proxy.managed.api.registration import ApiRegistration
from connect_proxy.managed.api.services import ApiServices
from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    ManagedProxy,
    ServiceDefinition,
)
from connect_proxy.managed.ports import PortAllocator
from connect_proxy.managed.registrar import PlacedProxy, Registrar
from connect_proxy.managed.tokens import token_hash
from connect_proxy.managed.wanted import wanted_proxies
from connect_proxy.secret import Secret
from connect_proxy.serving.listeners import listen_tcp
from support.dev_agent_running import client_of


@dataclass(frozen=True, kw_only=True)
class RunningApi:
    api: AgentApi
    registrar: Registrar
    http: httpx.AsyncClient
    port: int
    services: ApiServices
    withdrawn: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def running_api(
    access: AgentAccess,
    *,
    allows_registration: bool = False,
    defined: tuple[ServiceDefinition, ...] = (),
) -> AsyncIterator[RunningApi]:
    """On a free port, in front of the Consul at *access*."""
    client = connect_consul(access)
    withdrawn: list[str] = []
    registrar = Registrar(client, on_withdrawn=withdrawn.append)
    services = ApiServices(None)
    files = AgentConfiguration(services=defined, allow_managed_api_registration=allows_registration)
    registration = api_registration(services, files, registrar)
    api = AgentApi(access=access, registrar=registrar, registration=registration)
    listener = listen_tcp("127.0.0.1", 0, what="HTTP")
    port = int(listener.getsockname()[1])
    await api.start(listener)
    try:
        async with client_of(f"127.0.0.1:{port}") as http:
            yield RunningApi(
                api=api,
                registrar=registrar,
                http=http,
                port=port,
                withdrawn=withdrawn,
                services=services,
            )
    finally:
        await api.stop()
        await client.aclose()
        listener.close()


def api_registration(
    services: ApiServices, files: AgentConfiguration, registrar: Registrar
) -> ApiRegistration:
    """Whose registrations end in the catalog: no process is started."""

    async def rehearse(configuration: AgentConfiguration) -> None:
        PortAllocator(configuration.ports).assign(wanted_proxies(configuration), kept={})

    async def apply() -> None:
        whole = services.over(files)
        proxies = wanted_proxies(whole)
        ports = PortAllocator(whole.ports).assign(proxies, kept={})
        await registrar.apply(whole, [PlacedProxy(proxy=one, port=ports[one.id]) for one in proxies])

    return ApiRegistration(services, configuration=lambda: files, rehearse=rehearse, apply=apply)


def published(
    proxy: ManagedProxy, *, token: str = "web-token", port: int = 20001, is_local: bool = True
) -> PublishedProxy:
    return PublishedProxy(
        proxy=proxy, port=port, token_hash=token_hash(Secret(token)), token_is_local=is_local
    )
