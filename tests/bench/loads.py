"""How each figure is measured on a running peer."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from bench import iperf3, wrk
from bench.applications import Application
from bench.idle_connections import kib_each
from bench.peer import CLIENT, RunningPeer
from bench.reading import Reading
from bench.resident import resident_kib


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured for each figure."""

    seconds: int
    idle_connections: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run of a tool and the figures that it gives."""

    figures: tuple[str, ...]
    measure: Callable[[RunningPeer, Effort], Reading]


def loads_for(figures: Collection[str]) -> list[Load]:
    """Those that give one of *figures*, in the order in which they may follow each other."""
    return [load for load in LOADS if any(key in figures for key in load.figures)]


def _resident(peer: RunningPeer, _effort: Effort) -> Reading:
    each = [resident_kib([pid]) for pid in peer.pids()]
    return Reading(values={"resident": statistics.mean(each) / 1024})


def _idle_connection(peer: RunningPeer, effort: Effort) -> Reading:
    path = peer.pids(CLIENT, Application.HTTP.value)
    grown = kib_each(peer.ports[Application.HTTP], path, count=effort.idle_connections)
    return Reading(values={"idle-connection": grown})


def _throughput(streams: int) -> Callable[[RunningPeer, Effort], Reading]:
    def measure(peer: RunningPeer, effort: Effort) -> Reading:
        port = peer.ports[Application.IPERF3]
        found = iperf3.gigabits(port, streams=streams, seconds=effort.seconds)
        return Reading(values={f"throughput-{streams}": found})

    return measure


def _requests(connections: int) -> Callable[[RunningPeer, Effort], Reading]:
    def measure(peer: RunningPeer, effort: Effort) -> Reading:
        port = peer.ports[Application.HTTP]
        found = wrk.measured(port, connections=connections, seconds=effort.seconds)
        values = {
            f"requests-{connections}": found.requests_per_second,
            f"p99-{connections}": found.p99_ms,
        }
        return Reading(values=values, trouble=found.trouble)

    return measure


def _new_connections(peer: RunningPeer, effort: Effort) -> Reading:
    found = wrk.measured(
        peer.ports[Application.HTTP],
        connections=16,
        seconds=effort.seconds,
        headers=("Connection: close",),
    )
    return Reading(values={"new-connections": found.requests_per_second}, trouble=found.trouble)


LOADS: Final = (
    Load(figures=("resident",), measure=_resident),
    Load(figures=("idle-connection",), measure=_idle_connection),
    Load(figures=("throughput-1",), measure=_throughput(1)),
    Load(figures=("throughput-4",), measure=_throughput(4)),
    Load(figures=("requests-16",), measure=_requests(16)),
    Load(figures=("requests-1", "p99-1"), measure=_requests(1)),
    Load(figures=("new-connections",), measure=_new_connections),
)
"""Memory first: a heap that has grown under load would hide what connections cost."""
