"""xDS from an agent's HTTP API: whose resources a stream gets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connect_proxy_envoy.resources.type_urls import CLUSTER, LISTENER
from connect_proxy_envoy.xds.embedded import EmbeddedXds, offer_xds
from support.ads_client import ads_stream, names
from support.embedded_agent import EmbeddedAgent

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def _served(agent: EmbeddedAgent) -> AsyncIterator[str]:
    service = EmbeddedXds()
    port = await service.start("127.0.0.1:0", agent.url)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await service.stop()


def test_a_stream_gets_the_resources_of_its_node(embedded_agent: EmbeddedAgent) -> None:
    async def act() -> None:
        embedded_agent.api.register({"Name": "web", "Port": 1, "Connect": {"SidecarService": {"Port": 2}}})
        async with _served(embedded_agent) as address, ads_stream(address) as stream:
            await stream.ask(CLUSTER, node="web-sidecar-proxy")
            response = await stream.response()
            assert names(response) == ["local_app"]
            await stream.answer(response)
            await stream.ask(LISTENER, node="web-sidecar-proxy")
            assert names(await stream.response()) == ["public_listener:0.0.0.0:2"]

    asyncio.run(act())


def test_a_stream_of_an_unregistered_proxy_waits_for_its_registration(
    embedded_agent: EmbeddedAgent,
) -> None:
    async def act() -> None:
        async with _served(embedded_agent) as address, ads_stream(address) as stream:
            await stream.ask(CLUSTER, node="late-sidecar-proxy")
            await asyncio.to_thread(
                embedded_agent.api.register,
                {"Name": "late", "Port": 1, "Connect": {"SidecarService": {"Port": 2}}},
            )
            assert names(await stream.response()) == ["local_app"]

    asyncio.run(act())


def test_the_service_is_offered_where_its_packages_are() -> None:
    service = offer_xds()
    assert service is not None
    assert service.supported_envoys[0] == "1.40.0"


def test_the_service_can_be_stopped_before_it_was_started(tmp_path: Path) -> None:
    asyncio.run(EmbeddedXds().stop())
