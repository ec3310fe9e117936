"""The embedded agent inside the test's own event loop, asked over its real HTTP server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from connect_proxy.dev_agent.access import Access
from connect_proxy.dev_agent.agent import (
    AgentStorage,
    DevAgent,
    DevAgentOptions,
    Front,
    Listening,
    XdsService,
)

PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class RunningAgent:
    agent: DevAgent
    listening: Listening
    http: httpx.AsyncClient

    async def register(self, body: dict[str, Any], **params: str) -> None:
        answer = await self.http.put("/v1/agent/service/register", json=body, params=params)
        assert answer.status_code == 200, answer.text

    async def json(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.asynccontextmanager
async def running_agent(
    *,
    access: Access | None = None,
    xds: XdsService | None = None,
    front: Front | None = None,
    storage: AgentStorage | None = None,
    **options: Any,
) -> AsyncIterator[RunningAgent]:
    """An agent on ports of its own. *options* are those of DevAgentOptions."""
    chosen = {"http_port": 0, "dns_port": -1, "node": "node1", "sidecar_ports": (21000, 21255), **options}
    agent = DevAgent(DevAgentOptions(**chosen), access=access, xds=xds, front=front, storage=storage)
    listening = await agent.start()
    try:
        async with client_of(listening.http) as http:
            yield RunningAgent(agent=agent, listening=listening, http=http)
    finally:
        await agent.stop()


def client_of(http: str) -> httpx.AsyncClient:
    """A client for ``host:port`` or ``unix:///path``. Plain HTTP: it loads no certificates."""
    if http.startswith("unix://"):
        transport = httpx.AsyncHTTPTransport(uds=http.removeprefix("unix://"))
        return httpx.AsyncClient(
            transport=transport, base_url="http://agent", timeout=PATIENCE_S, verify=False
        )
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=f"http://{http}", timeout=PATIENCE_S, limits=limits, verify=False)
