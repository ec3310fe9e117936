"""Connections that are there and rest, as many as this machine lets a sidecar hold."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Final

from soak import application
from soak.footprint import footprint
from soak.mesh import Mesh

MOST: Final = 10_000
KEPT: Final = 500
"""Descriptors for everything else."""


def most_connections() -> int:
    """10,000, or what the hard limit of open files leaves: each end of a connection is a descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST, (hard - KEPT) // 2)


async def rest(mesh: Mesh, count: int, say: Callable[[str], None]) -> list[str]:
    """Hold *count* connections that each got an answer; what was wrong."""
    before = footprint(mesh.web.program.pid).resident_kib
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port)
            writers.append(writer)
            writer.write(application.ECHO + b"x")
            await reader.readexactly(1)
        held = await asyncio.to_thread(mesh.web.count, "inbound_open")
        kib = (footprint(mesh.web.program.pid).resident_kib - before) / count
        say(f"{held} connections at rest (asked for {count}), {kib:.1f} KiB each")
        return [] if held == count else [f"{held} of {count} connections are held"]
    finally:
        for writer in writers:
            writer.transport.abort()
