"""What connections that rest cost in processor time."""

from __future__ import annotations

import time

from bench.applications import Application
from bench.idle_connections import idle
from bench.peer import CLIENT, RunningPeer
from bench.processor_time import processor_seconds

CONNECTIONS = 2000
SETTLE_S = 2.0
WATCHED_S = 20.0


def resting(peer: RunningPeer) -> list[str]:
    """Row: processor time of both sidecars with many connections at rest, and with none."""
    path = peer.pids(CLIENT, Application.HTTP.value)
    none = _spent(path)
    with idle(peer.ports[Application.HTTP], CONNECTIONS):
        many = _spent(path)
    return [
        f"| {CONNECTIONS:,} idle connections, both sidecars "
        f"| {many * 1000:.0f} ms of processor time in {WATCHED_S:g} s, {none * 1000:.0f} without any |"
    ]


def _spent(pids: tuple[int, ...]) -> float:
    time.sleep(SETTLE_S)
    before = processor_seconds(pids)
    time.sleep(WATCHED_S)
    return processor_seconds(pids) - before
