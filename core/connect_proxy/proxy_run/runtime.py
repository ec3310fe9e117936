"""What connect-proxy lends to the code that runs inside it, and whether any does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from connect_proxy.consul.client import ConsulClient
from connect_proxy.plugin_api import ChildLaunch, InProcessLaunch, ProxyContext, SnapshotFeed
from connect_proxy.snapshot.watcher import SnapshotWatcher


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What is lent to companions and in-process proxies (:class:`.plugin_api.ProxyRuntime`)."""

    context: ProxyContext
    consul: ConsulClient
    snapshots: SnapshotFeed


def reads_snapshots(launch: ChildLaunch | InProcessLaunch) -> bool:
    """Whether anything here is fed from Consul: a child without a companion has other sources."""
    return isinstance(launch, InProcessLaunch) or launch.companion is not None


async def watch(watcher: SnapshotWatcher | None) -> None:
    """Keep the snapshot fresh for ever; without a watcher only wait."""
    if watcher is None:
        await asyncio.Event().wait()
    else:
        await watcher.run()
