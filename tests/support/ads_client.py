"""A small ADS client: what Envoy says on a stream, said by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
DEADLINE_S = 60.0


class AdsStream:
    """One stream of either kind."""

    def __init__(self, call: Any, kind: str) -> None:
        self._call = call
        self._kind = kind

    async def ask(
        self, type_url: str, *names: str, node: str = "test-proxy", envoy: tuple[int, int] = (1, 40)
    ) -> None:
        if self._kind == "delta":
            message = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        else:
            message = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names)
        message.node.id = node
        version = message.node.user_agent_build_version.version
        version.major_number, version.minor_number = envoy
        await self._call.write(message)

    async def answer(self, response: Any, *, error: str = "", names: tuple[str, ...] = ()) -> None:
        """ACK, or NACK with *error*. *names*: all that is wanted, for plain streams."""
        if self._kind == "delta":
            message = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url)
        else:
            message = discovery_pb2.DiscoveryRequest(type_url=response.type_url, resource_names=names)
        message.response_nonce = response.nonce
        if error:
            message.error_detail.message = error
        await self._call.write(message)

    async def response(self) -> Any:
        """The next one."""
        return await asyncio.wait_for(self._call.read(), DEADLINE_S)

    async def code(self) -> str:
        """The status that the stream ended with."""
        status = await asyncio.wait_for(self._call.code(), DEADLINE_S)
        return str(status.name)


@contextlib.asynccontextmanager
async def ads_stream(address: str, *, kind: str = "delta", token: str = "") -> AsyncIterator[AdsStream]:
    """A stream to the server at *address*; kind ``delta`` or ``plain``."""
    method, request, response = {
        "delta": (
            "DeltaAggregatedResources",
            discovery_pb2.DeltaDiscoveryRequest,
            discovery_pb2.DeltaDiscoveryResponse,
        ),
        "plain": (
            "StreamAggregatedResources",
            discovery_pb2.DiscoveryRequest,
            discovery_pb2.DiscoveryResponse,
        ),
    }[kind]
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            f"{SERVICE}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )(metadata=(("x-consul-token", token),))
        try:
            yield AdsStream(call, kind)
        finally:
            call.cancel()


def names(response: Any) -> list[str]:
    """The names of a delta response's resources."""
    return [resource.name for resource in response.resources]
