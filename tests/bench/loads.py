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
from bench.processor_time import processor_seconds
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
        port, path = peer.ports[Application.IPERF3], peer.pids(CLIENT, Application.IPERF3.value)
        before = processor_seconds(path)
        found = iperf3.gigabits(port, streams=streams, seconds=effort.seconds)
        spent = processor_seconds(path) - before
        cost = spent * 1e3 / (found * effort.seconds)
        return Reading(values={f"throughput-{streams}": found, f"cost-throughput-{streams}": cost})

    return measure


def _requests(
    name: str, connections: int, headers: tuple[str, ...] = ()
) -> Callable[[RunningPeer, Effort], Reading]:
    def measure(peer: RunningPeer, effort: Effort) -> Reading:
        port, path = peer.ports[Application.HTTP], peer.pids(CLIENT, Application.HTTP.value)
        before = processor_seconds(path)
        found = wrk.measured(port, connections=connections, seconds=effort.seconds, headers=headers)
        spent = processor_seconds(path) - before
        values = {
            name: found.requests_per_second,
            f"p99-{connections}": found.p99_ms,
            f"cost-{name}": spent * 1e6 / (found.requests_per_second * effort.seconds),
        }
        return Reading(values=values, trouble=found.trouble)

    return measure


LOADS: Final = (
    Load(figures=("resident",), measure=_resident),
    Load(figures=("idle-connection",), measure=_idle_connection),
    Load(figures=("throughput-1", "cost-throughput-1"), measure=_throughput(1)),
    Load(figures=("throughput-4",), measure=_throughput(4)),
    Load(figures=("requests-16", "cost-requests-16"), measure=_requests("requests-16", 16)),
    Load(figures=("requests-1", "p99-1"), measure=_requests("requests-1", 1)),
    Load(
        figures=("new-connections", "cost-new-connections"),
        measure=_requests("new-connections", 16, ("Connection: close",)),
    ),
)
"""Memory first: a heap that has grown under load would hide what connections cost."""
