"""The gRPC port of the embedded agent: ADS for every proxy that is registered there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.errors import NotFoundError
from connect_proxy.mesh.registration import Registration
from connect_proxy.secret import Secret
from connect_proxy.snapshot.watcher import SnapshotWatcher
from connect_proxy_envoy.address import UNIX

if TYPE_CHECKING:
    from connect_proxy_envoy.xds.feed import ResourceFeed
    from connect_proxy_envoy.xds.server import Caller, XdsServer

log = logging.getLogger("connect_proxy.envoy.xds")

SUPPORTED_ENVOYS: Final = ("1.40.0", "1.39.0", "1.38.0", "1.37.0", "1.36.0")
"""Those that our resources are tried on."""

NEEDED: Final = ("grpcio", "protobuf", "xds-protos")
"""What serving takes, as distributions: importing them to see would be slow."""

REGISTRATION_POLL_S: Final = 0.5


class EmbeddedXds:
    """Serves each stream what its proxy, with its token, sees through the agent's HTTP API."""

    def __init__(self) -> None:
        self._server: XdsServer | None = None

    @property
    def supported_envoys(self) -> tuple[str, ...]:
        """Newest first."""
        return SUPPORTED_ENVOYS

    async def start(self, listen_address: str, agent_http_url: str) -> int:
        """Serve on *listen_address* (port 0 for a free one) until :meth:`stop`; the port.

        Raises MissingDependencyError without the ``envoy`` extra, PortInUseError.
        """
        from connect_proxy_envoy.xds.server import XdsServer

        self._server = XdsServer(AgentFeeds(agent_http_url))
        return await self._server.listen(listen_address)

    async def stop(self) -> None:
        """End all streams."""
        if self._server is not None:
            await self._server.stop()
            self._server = None


def offer_xds() -> EmbeddedXds | None:
    """The service, if what it needs is installed; an agent without xDS is of use too."""
    try:
        for name in NEEDED:
            distribution(name)
    except PackageNotFoundError:
        log.info("no xDS on the agent's gRPC port: pip install 'connect-proxy[envoy]'")
        return None
    return EmbeddedXds()


class AgentFeeds:
    """Feeds from an agent's HTTP API: one snapshot watcher a stream."""

    def __init__(self, agent_http_url: str) -> None:
        self._url = agent_http_url

    @contextlib.asynccontextmanager
    async def open(self, caller: Caller) -> AsyncIterator[ResourceFeed]:
        """Watch the proxy ``caller.node_id`` for as long as the stream lives.

        Waits for its registration, as Consul does. Raises PermissionDeniedError and
        UnknownTokenError where the token may not have the service's certificate.
        """
        from connect_proxy_envoy.xds.feed import ResourceFeed

        client = connect_consul(_access(self._url, caller.token))
        tasks: set[asyncio.Task[None]] = set()
        try:
            registration = await _registered(client, caller.node_id)
            await client.leaf(registration.destination_service_name)
            watcher, feed = SnapshotWatcher(client, registration), ResourceFeed(caller.envoy)
            tasks = {asyncio.create_task(watcher.run()), asyncio.create_task(feed.follow(watcher))}
            yield feed
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("the watch of %r ended: %s", caller.node_id, result)
            await client.aclose()


async def _registered(client: ConsulClient, proxy_id: str) -> Registration:
    """The registration of *proxy_id*, once there is one."""
    while True:
        try:
            return (await client.service(proxy_id)).value
        except NotFoundError:
            await asyncio.sleep(REGISTRATION_POLL_S)


def _access(url: str, token: str) -> AgentAccess:
    if url.startswith(UNIX):
        return AgentAccess(scheme="unix", host="", socket_path=url.removeprefix(UNIX), token=Secret(token))
    parts = urlsplit(url)
    return AgentAccess(
        scheme=parts.scheme, host=parts.hostname or "", port=parts.port or 0, token=Secret(token)
    )
