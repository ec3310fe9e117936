"""The newest resources of one proxy, and a bell that rings when there are newer ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol

from connect_proxy.errors import ConnectProxyError
from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_envoy.resources.notices import notices
from connect_proxy_envoy.resources.resource import Resource, ResourceSet
from connect_proxy_envoy.resources.sidecar import NEWEST, sidecar_resources
from connect_proxy_envoy.version import Version
from connect_proxy_envoy.xds.protobuf import pack

log = logging.getLogger("connect_proxy.envoy.xds")


class Snapshots(Protocol):
    """Where snapshots come from (part of :class:`connect_proxy.plugin_api.SnapshotFeed`)."""

    def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        """The current snapshot and every later one."""


class ResourceFeed:
    """Resources built from snapshots. A snapshot that cannot be built leaves the last ones in force."""

    def __init__(self, envoy: Version = NEWEST) -> None:
        self._envoy = envoy
        self.current: ResourceSet | None = None
        self.generation = 0
        """Of the snapshot in force; 0 before the first."""
        self.problem: ConnectProxyError | None = None
        """Why the newest snapshot is not in force."""
        self.notices: tuple[str, ...] = ()
        """What of the snapshot in force is not rendered as it was meant."""
        self._bells: set[asyncio.Event] = set()
        self._messages: dict[tuple[str, str, str], Any] = {}

    def message(self, resource: Resource) -> Any:
        """*resource* as a protobuf message: made once, for all streams."""
        key = (str(resource.body.get("@type")), resource.name, resource.version)
        return self._messages.get(key) or pack(resource)

    async def follow(self, snapshots: Snapshots) -> None:
        """Build resources from every snapshot, until cancelled."""
        async for snapshot in snapshots.subscribe():
            self.take(snapshot)

    def take(self, snapshot: ProxySnapshot) -> None:
        """Build the resources of *snapshot* and put them in force."""
        try:
            resources = sidecar_resources(snapshot, self._envoy)
            self._messages = self._packed(resources)
            found = notices(snapshot)
        except ConnectProxyError as exc:
            if str(exc) != str(self.problem):
                log.error("the registration cannot be rendered for Envoy, its last state stays: %s", exc)
            self.problem = exc
        else:
            self.current, self.generation, self.problem = resources, snapshot.generation, None
            self._tell(found)
        self.ring()

    def _tell(self, found: tuple[str, ...]) -> None:
        """Log what was not said before."""
        for notice in found:
            if notice not in self.notices:
                log.warning("%s", notice)
        self.notices = found

    def _packed(self, resources: ResourceSet) -> dict[tuple[str, str, str], Any]:
        """Messages of all *resources*; unchanged ones are taken over."""
        packed = {}
        for type_url, named in resources.by_type.items():
            for resource in named.values():
                packed[type_url, resource.name, resource.version] = self.message(resource)
        return packed

    def ring(self) -> None:
        """Wake everybody who listens."""
        for bell in self._bells:
            bell.set()

    def add_bell(self, bell: asyncio.Event) -> None:
        """Set *bell* whenever something changes."""
        self._bells.add(bell)

    def remove_bell(self, bell: asyncio.Event) -> None:
        """Leave it alone again."""
        self._bells.discard(bell)
