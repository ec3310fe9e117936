"""The gRPC shell: real streams over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import PermissionDeniedError, PortInUseError, UnknownTokenError
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, LISTENER, SECRET
from connect_proxy_envoy.xds.feed import ResourceFeed
from connect_proxy_envoy.xds.server import Caller, SingleFeed, XdsServer
from support.ads_client import ads_stream, names
from support.envoy_cases import DB
from support.envoy_snapshot import endpoint, snapshot


def served(
    act: Callable[[str, ResourceFeed, XdsServer], Awaitable[None]], folder: Path, feeds: Any = None
) -> None:
    """Run *act* against a server on a socket in *folder*."""

    async def run() -> None:
        feed = ResourceFeed()
        server = XdsServer(feeds or SingleFeed(feed))
        address = f"unix:{folder}/xds.sock"
        await server.listen(address)
        try:
            await act(address, feed, server)
        finally:
            await server.stop()

    asyncio.run(run())


def test_a_stream_gets_resources_and_then_only_what_changes(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        feed.take(snapshot(upstreams=[DB], found={"db": []}))
        async with ads_stream(address) as stream:
            await stream.ask(CLUSTER)
            clusters = await stream.response()
            assert [name.partition(".")[0] for name in names(clusters)] == ["local_app", "db"]
            await stream.answer(clusters)
            await stream.ask(ENDPOINTS, names(clusters)[1])
            await stream.answer(await stream.response())
            feed.take(snapshot(upstreams=[DB], found={"db": [endpoint("db")]}, generation=2))
            changed = await stream.response()
            assert (changed.type_url, names(changed)) == (ENDPOINTS, [names(clusters)[1]])

    served(act, tmp_path)


def test_a_stream_that_comes_before_the_first_snapshot_waits_for_it(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        async with ads_stream(address) as stream:
            await stream.ask(SECRET, "leaf")
            feed.take(snapshot())
            assert names(await stream.response()) == ["leaf"]

    served(act, tmp_path)


def test_a_plain_stream_gets_everything_of_a_type(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        feed.take(snapshot())
        async with ads_stream(address, kind="plain") as stream:
            await stream.ask(SECRET, "leaf", "roots")
            first = await stream.response()
            assert len(first.resources) == 2
            await stream.answer(first, names=("leaf", "roots"))
            feed.take(snapshot(roots=["NEW\n"], generation=2))
            second = await stream.response()
            assert len(second.resources) == 2
            assert second.version_info != first.version_info

    served(act, tmp_path)


def test_a_refusal_is_logged_in_one_line_and_shown_until_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        feed.take(snapshot())
        async with ads_stream(address) as stream:
            await stream.ask(LISTENER)
            await stream.answer(await stream.response(), error="cannot bind:\n  in use")
            feed.take(snapshot(port=21001, generation=2))
            second = await stream.response()
            refused = [str(refusal) for refusal in server.refusals.values()]
            assert refused == ["Envoy refuses Listener public_listener:0.0.0.0:21000: cannot bind: in use"]
            await stream.answer(second)
            await stream.ask(SECRET, "leaf")
            await stream.response()
            assert server.refusals == {}
        assert caplog.messages == refused

    served(act, tmp_path)


def test_the_socket_is_for_our_user_only(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        mode = os.stat(address.removeprefix("unix:")).st_mode
        assert stat.S_IMODE(mode) == 0o600

    served(act, tmp_path)


@pytest.mark.parametrize(
    ("error", "code"),
    [(PermissionDeniedError, "PERMISSION_DENIED"), (UnknownTokenError, "UNAUTHENTICATED")],
)
def test_a_caller_without_the_right_is_told_so(tmp_path: Path, error: type[Exception], code: str) -> None:
    class Closed:
        @contextlib.asynccontextmanager
        async def open(self, caller: Caller) -> AsyncIterator[ResourceFeed]:
            assert caller.node_id == "test-proxy"
            assert caller.token == "the-token"
            assert "the-token" not in repr(caller)
            raise error("no")
            yield ResourceFeed()

    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        async with ads_stream(address, token="the-token") as stream:
            await stream.ask(CLUSTER)
            assert await stream.code() == code

    served(act, tmp_path, feeds=Closed())


def test_an_envoy_that_would_ignore_the_identity_check_is_served_nothing(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        feed.take(snapshot())
        async with ads_stream(address) as stream:
            await stream.ask(CLUSTER, envoy=(1, 21))
            assert await stream.code() == "INVALID_ARGUMENT"

    served(act, tmp_path)


def test_a_stream_that_ends_is_no_longer_counted(tmp_path: Path) -> None:
    async def act(address: str, feed: ResourceFeed, server: XdsServer) -> None:
        feed.take(snapshot())
        async with ads_stream(address) as stream:
            await stream.ask(CLUSTER)
            await stream.response()
            assert server.streams == 1
        async with asyncio.timeout(60):
            while server.streams:  # noqa: ASYNC110 - gRPC tells nobody
                await asyncio.sleep(0.01)

    served(act, tmp_path)


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    async def run() -> None:
        first, second = XdsServer(SingleFeed(ResourceFeed())), XdsServer(SingleFeed(ResourceFeed()))
        port = await first.listen("127.0.0.1:0")
        try:
            with pytest.raises(PortInUseError, match=str(port)):
                await second.listen(f"127.0.0.1:{port}")
        finally:
            await first.stop()
            await second.stop()

    asyncio.run(run())
