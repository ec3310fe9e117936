"""The xDS server beside our own Envoy (``-xds local``)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from connect_proxy_envoy.version import Version
from connect_proxy_envoy.xds_socket import xds_socket

if TYPE_CHECKING:
    from connect_proxy.plugin_api import ProxyRuntime
    from connect_proxy_envoy.xds.feed import ResourceFeed
    from connect_proxy_envoy.xds.server import XdsServer

log = logging.getLogger("connect_proxy.envoy.xds")

FIRST_SNAPSHOT_S: Final = 10.0
"""How long the first snapshot is waited for before Envoy is started without."""


class XdsCompanion:
    """Serves one proxy's resources on a unix socket in the run's private directory."""

    def __init__(self, envoy: Version) -> None:
        self._envoy = envoy
        self._server: XdsServer | None = None
        self._feed: ResourceFeed | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, runtime: ProxyRuntime) -> None:
        """Listen, and have the first snapshot's resources ready if Consul gives one in time.

        Raises MissingDependencyError without the ``envoy`` extra, ConfigurationError for a
        registration that cannot be rendered, PortInUseError for a port that Envoy could not have.
        """
        from connect_proxy_envoy.xds.feed import ResourceFeed
        from connect_proxy_envoy.xds.server import SingleFeed, XdsServer
        from connect_proxy_envoy.xds.taken_ports import check_listeners_free

        self._feed = ResourceFeed(self._envoy)
        first = asyncio.Event()
        self._feed.add_bell(first)
        self._following = asyncio.create_task(self._feed.follow(runtime.snapshots))
        self._following.add_done_callback(_report)
        self._server = XdsServer(SingleFeed(self._feed))
        await self._server.listen(f"unix:{xds_socket(runtime.context.runtime_dir)}")
        try:
            await asyncio.wait_for(first.wait(), FIRST_SNAPSHOT_S)
        except TimeoutError:
            log.warning("Consul has not given everything yet; Envoy starts and waits for it")
        self._feed.remove_bell(first)
        if self._feed.current is None and self._feed.problem is not None:
            raise self._feed.problem
        if self._feed.current is not None:
            check_listeners_free(self._feed.current, share=bool(runtime.context.shared_addresses))

    async def stop(self) -> None:
        """End the streams and the server."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        if self._server is not None:
            await self._server.stop()

    def status(self) -> Mapping[str, Any]:
        """Streams, the snapshot in force, and what Envoy refuses."""
        if self._server is None or self._feed is None:
            return {"state": "not started"}
        return {
            "streams": self._server.streams,
            "generation": self._feed.generation,
            "problem": str(self._feed.problem or ""),
            "notices": list(self._feed.notices),
            "refused": [str(refusal) for refusal in self._server.refusals.values()],
        }


def _report(task: asyncio.Task[None]) -> None:
    """A feed that ends by itself is a defect: say so, with its traceback."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("Envoy gets no more changes: %s", error, exc_info=error)
