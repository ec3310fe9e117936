"""How soon a changed intention is in force: from Consul's answer to the change, to its effect."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections.abc import Sequence

from bench.applications import Application
from bench.idle_connections import REQUEST
from bench.peer import CLIENT, RunningPeer
from support.agents import AgentUnderTest
from support.applications import ended

RUNS = 10
REST_S = 1.0
"""Between changes: of many in a row, a sidecar asks about four in a second (``Pace``)."""
POLL_S = 0.002
TIMEOUT_S = 20.0


def obeying(peer: RunningPeer, agent: AgentUnderTest) -> list[str]:
    """Rows: a live connection closed, a new one refused, a new one let through again."""
    port = peer.ports[Application.HTTP]
    closed, refused, admitted = [], [], []
    for _ in range(RUNS):
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as live:
            live.sendall(REQUEST)
            assert live.recv(4096).startswith(b"HTTP/1.1 200")
            since = _changed(agent, "deny")
            assert ended(live)
            closed.append(_milliseconds(since))
        admitted.append(_until(port, _changed(agent, "allow"), passes=True))
        refused.append(_until(port, _changed(agent, "deny"), passes=False))
        _until(port, _changed(agent, "allow"), passes=True)
    return [
        _row("an intention denies: the live connections are closed", closed),
        _row("an intention denies: a new connection is refused", refused),
        _row("an intention allows: a new connection passes", admitted),
    ]


def _changed(agent: AgentUnderTest, action: str) -> float:
    """The moment of Consul's answer."""
    time.sleep(REST_S)
    agent.api.set_intention(CLIENT, Application.HTTP.value, action)
    return time.perf_counter()


def _until(port: int, since: float, *, passes: bool) -> float:
    end = since + TIMEOUT_S
    while _passes(port) is not passes:
        assert time.perf_counter() < end, f"calls pass: {not passes}"
        time.sleep(POLL_S)
    return _milliseconds(since)


def _passes(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection,
    ):
        connection.sendall(REQUEST)
        return connection.recv(4096).startswith(b"HTTP/1.1 200")
    return False


def _milliseconds(since: float) -> float:
    return (time.perf_counter() - since) * 1000


def _row(what: str, taken: Sequence[float]) -> str:
    return (
        f"| {what} | median {statistics.median(taken):.0f} ms, worst {max(taken):.0f} ms of {len(taken)} |"
    )
