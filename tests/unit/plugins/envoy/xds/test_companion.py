"""The xDS server beside our own Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy.plugin_api import AgentAccess, ProxyContext
from connect_proxy.snapshot.broadcast import Broadcast
from connect_proxy.snapshot.snapshot import FeedStatus, ProxySnapshot
from connect_proxy_envoy.resources.type_urls import CLUSTER
from connect_proxy_envoy.version import Version
from connect_proxy_envoy.xds.companion import XdsCompanion
from support.ads_client import ads_stream, names
from support.envoy_context import context
from support.envoy_snapshot import snapshot
from support.ports import free_port


class Feed:
    """Snapshots that the test publishes."""

    def __init__(self, *first: ProxySnapshot) -> None:
        self._values: Broadcast[ProxySnapshot] = Broadcast()
        for value in first:
            self._values.publish(value)

    @property
    def current(self) -> ProxySnapshot | None:
        return self._values.newest

    @property
    def status(self) -> FeedStatus:
        return FeedStatus(generation=0, changed_at=None, stale_since=None)

    def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        return self._values.subscribe()

    def publish(self, value: ProxySnapshot) -> None:
        self._values.publish(value)


@dataclass(frozen=True)
class Runtime:
    context: ProxyContext
    snapshots: Feed
    consul: ConsulClient


def _runtime(folder: Path, feed: Feed) -> Runtime:
    return Runtime(context(runtime_dir=str(folder)), feed, connect_consul(AgentAccess()))


def test_when_it_has_started_the_first_resources_are_there(tmp_path: Path) -> None:
    async def act() -> None:
        companion, feed = XdsCompanion(Version(1, 40)), Feed(snapshot(port=free_port()))
        await companion.start(_runtime(tmp_path, feed))
        try:
            async with ads_stream(f"unix:{tmp_path}/xds.sock") as stream:
                await stream.ask(CLUSTER)
                assert names(await stream.response()) == ["local_app"]
                assert companion.status() == {
                    "streams": 1,
                    "generation": 1,
                    "problem": "",
                    "notices": [],
                    "refused": [],
                }
        finally:
            await companion.stop()
        assert not (tmp_path / "xds.sock").exists()

    asyncio.run(act())


def test_a_registration_that_cannot_be_rendered_ends_the_start(tmp_path: Path) -> None:
    async def act() -> None:
        companion = XdsCompanion(Version(1, 40))
        with pytest.raises(ConfigurationError, match="bind_port"):
            await companion.start(_runtime(tmp_path, Feed(snapshot(config={"bind_port": "x"}))))
        await companion.stop()

    asyncio.run(act())


def test_a_later_one_is_shown_in_the_status_and_the_last_stays(tmp_path: Path) -> None:
    async def act() -> None:
        companion, feed = XdsCompanion(Version(1, 40)), Feed(snapshot(port=free_port()))
        await companion.start(_runtime(tmp_path, feed))
        try:
            feed.publish(snapshot(config={"bind_port": "x"}, generation=2))
            async with asyncio.timeout(60):
                while not companion.status()["problem"]:  # noqa: ASYNC110 - a status is asked for
                    await asyncio.sleep(0.01)
            assert companion.status()["generation"] == 1
        finally:
            await companion.stop()

    asyncio.run(act())


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    async def act() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        companion = XdsCompanion(Version(1, 40))
        async with server:
            with pytest.raises(PortInUseError, match=str(port)):
                await companion.start(
                    _runtime(tmp_path, Feed(snapshot(config={"bind_address": "127.0.0.1"}, port=port)))
                )
        await companion.stop()

    asyncio.run(act())
