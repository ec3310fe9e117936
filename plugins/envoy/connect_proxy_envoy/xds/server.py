"""ADS over gRPC: the shell around the stream states. One server, any number of streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from connect_proxy.errors import PermissionDeniedError, PortInUseError, UnknownTokenError
from connect_proxy_envoy.resources.resource import Resource
from connect_proxy_envoy.resources.sidecar import NEWEST
from connect_proxy_envoy.version import OLDEST_SERVED, Version
from connect_proxy_envoy.xds import protobuf
from connect_proxy_envoy.xds.delta import DeltaStream
from connect_proxy_envoy.xds.feed import ResourceFeed
from connect_proxy_envoy.xds.messages import Refusal
from connect_proxy_envoy.xds.state_of_the_world import StateStream

log = logging.getLogger("connect_proxy.envoy.xds")

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
RETRY_S: Final = 10.0
"""After a refusal the same is offered again: the reason may have gone (a port in use)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who opened a stream."""

    node_id: str
    token: str = field(repr=False)
    """Metadata ``x-consul-token``; empty with local xDS."""
    envoy: Version = NEWEST
    """As the node says."""


class Feeds(Protocol):
    """Whose resources a stream gets."""

    def open(self, caller: Caller) -> contextlib.AbstractAsyncContextManager[ResourceFeed]:
        """The feed for *caller*, for as long as the stream lives.

        Raises PermissionDeniedError and UnknownTokenError, which end the stream with their status.
        """


class SingleFeed:
    """The same feed for every caller: local xDS serves one proxy."""

    def __init__(self, feed: ResourceFeed) -> None:
        self._feed = feed

    @contextlib.asynccontextmanager
    async def open(self, caller: Caller) -> AsyncIterator[ResourceFeed]:
        """The one feed."""
        del caller
        yield self._feed


class XdsServer:
    """Serves ADS, incremental and plain, v3."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._server: Any = None
        self.streams = 0
        """Open now."""
        self.refusals: dict[str, Refusal] = {}
        """By type: the last refusal, until nothing of the type is refused any more."""

    async def listen(self, address: str) -> int:
        """Serve at *address* (``unix:/path`` or ``host:port``) until :meth:`stop`; the TCP port.

        Raises PortInUseError.
        """
        grpc = protobuf.grpc_module
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self._server.add_generic_rpc_handlers((self._handlers(),))
        try:
            port = int(self._server.add_insecure_port(address))
        except RuntimeError as exc:
            message = f"xDS cannot be served on {address!r}: {exc}; give another port"
            raise PortInUseError(message) from exc
        await self._server.start()
        if address.startswith("unix:"):
            os.chmod(address.removeprefix("unix:"), 0o600)
        return port

    async def stop(self) -> None:
        """End all streams."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def _handlers(self) -> Any:
        grpc = protobuf.grpc_module
        delta = grpc.stream_stream_rpc_method_handler(
            self._delta,
            request_deserializer=protobuf.parse_delta_request,
            response_serializer=_serialized,
        )
        plain = grpc.stream_stream_rpc_method_handler(
            self._state_of_the_world,
            request_deserializer=protobuf.parse_state_request,
            response_serializer=_serialized,
        )
        methods = {"DeltaAggregatedResources": delta, "StreamAggregatedResources": plain}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _delta(self, requests: AsyncIterator[Any], context: Any) -> None:
        kind = _Kind(DeltaStream(), protobuf.read_delta_request, protobuf.delta_response)
        await self._serve(kind, requests, context)

    async def _state_of_the_world(self, requests: AsyncIterator[Any], context: Any) -> None:
        kind = _Kind(StateStream(), protobuf.read_state_request, protobuf.state_response)
        await self._serve(kind, requests, context)

    async def _serve(self, kind: _Kind, requests: AsyncIterator[Any], context: Any) -> None:
        """One stream, from its first request (which names the node) to its end."""
        first = await anext(aiter(requests), None)
        if first is None:
            return
        caller = Caller(node_id=first.node.id, token=_token(context), envoy=_version(first.node))
        if caller.envoy < OLDEST_SERVED:
            details = f"Envoy {caller.envoy} is too old: {OLDEST_SERVED} is the oldest that is served"
            await context.abort(protobuf.grpc_module.StatusCode.INVALID_ARGUMENT, details)
        try:
            async with self._feeds.open(caller) as feed:
                self._receive(kind, first)
                await self._exchange(kind, requests, feed, context)
        except (PermissionDeniedError, UnknownTokenError) as exc:
            code = "UNAUTHENTICATED" if isinstance(exc, UnknownTokenError) else "PERMISSION_DENIED"
            await context.abort(getattr(protobuf.grpc_module.StatusCode, code), str(exc))

    async def _exchange(
        self, kind: _Kind, requests: AsyncIterator[Any], feed: ResourceFeed, context: Any
    ) -> None:
        """Responses, whenever requests or new resources ask for some, until the client ends."""
        bell = asyncio.Event()
        bell.set()
        reader = asyncio.create_task(self._read(kind, requests, bell))
        reader.add_done_callback(lambda _: bell.set())
        feed.add_bell(bell)
        self.streams += 1
        try:
            while not reader.done():
                await bell.wait()
                bell.clear()
                if feed.current is not None:
                    kind.stream.offer(feed.current)
                    for response in kind.stream.responses():
                        await context.write(kind.packed(response, feed.message))
            if not reader.cancelled():
                reader.result()
        finally:
            self.streams -= 1
            feed.remove_bell(bell)
            reader.cancel()
            await asyncio.wait({reader})

    async def _read(self, kind: _Kind, requests: AsyncIterator[Any], bell: asyncio.Event) -> None:
        retries: set[asyncio.TimerHandle] = set()
        try:
            async for message in requests:
                if self._receive(kind, message):
                    retries.add(asyncio.get_running_loop().call_later(RETRY_S, _retry, kind, bell))
                bell.set()
        finally:
            for retry in retries:
                retry.cancel()

    def _receive(self, kind: _Kind, message: Any) -> bool:
        """Take one request in; whether it refuses something."""
        refusal = kind.stream.receive(kind.read(message))
        if refusal is None:
            if message.response_nonce and not kind.stream.refuses(message.type_url):
                self.refusals.pop(message.type_url, None)
            return False
        if str(refusal) != str(self.refusals.get(refusal.type_url)):
            log.error("%s", refusal)
        self.refusals[refusal.type_url] = refusal
        return True


@dataclass(frozen=True, slots=True)
class _Kind:
    """A stream's state machine with its readers and writers."""

    stream: Any
    read: Callable[[Any], Any]
    packed: Callable[[Any, Callable[[Resource], Any]], Any]


def _retry(kind: _Kind, bell: asyncio.Event) -> None:
    kind.stream.retry()
    bell.set()


def _serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _version(node: Any) -> Version:
    """``node.user_agent_build_version``; the newest we know if it is not set."""
    told = node.user_agent_build_version.version
    version = Version(told.major_number, told.minor_number, told.patch)
    return version if version.major else NEWEST


def _token(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "x-consul-token":
            return str(value)
    return ""
