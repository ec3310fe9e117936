"""Two services with built-in sidecars as real programs; whether anything is left behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soak.footprint import footprint, processor_ticks
from soak.mesh import CHECK, Side
from support.agents import AgentUnderTest
from support.applications import ask
from support.ports import free_port
from support.processes import wait_until
from support.sidecars import start_sidecar, wait_ready

IDLE_S = 1.0
IDLE_TICKS = 40
"""Of the hundred that a spinning thread would take in IDLE_S."""


class Pair:
    """``api`` calls ``web``, each through its sidecar."""

    def __init__(self, agent: AgentUnderTest, web: Side, api: Side, *, port: int, public: int) -> None:
        self.agent, self.web, self.api = agent, web, api
        self.port, self.public = port, public
        self._before = {side.name: footprint(side.program.pid) for side in (web, api)}

    @property
    def sides(self) -> tuple[Side, Side]:
        return (self.web, self.api)

    def has_recovered(self) -> None:
        """A call passes; then nothing is open, nothing is held and nothing spins."""
        wait_until(lambda: ask(self.port, b"hello") == b"hello", "a call that passes")
        self.is_at_rest()

    def is_at_rest(self) -> None:
        """Nothing is open, nothing is held and nothing spins."""
        for side in (self.web, self.api):
            wait_until(lambda side=side: side.open() == 0, f"nothing open at {side.name}")  # type: ignore[misc]
            allowed = self._before[side.name].descriptors + 3  # connections to the agent come and go
            wait_until(
                lambda side=side, allowed=allowed: footprint(side.program.pid).descriptors <= allowed,  # type: ignore[misc]
                f"the descriptors of {side.name}",
            )
            assert side.count("defects") == 0, side.program.picture()
        self.is_calm()

    def is_calm(self) -> None:
        """Neither sidecar spins: there comes a second in which they have next to nothing to do."""
        wait_until(lambda: max(self._ticks_at_rest()) < IDLE_TICKS, "sidecars that do not spin")

    def _ticks_at_rest(self) -> list[int]:
        before = [processor_ticks(side.program.pid) for side in self.sides]
        time.sleep(IDLE_S)  # what is counted is the work done while nothing is to be done
        return [
            processor_ticks(side.program.pid) - ticks
            for side, ticks in zip(self.sides, before, strict=True)
        ]


@contextlib.contextmanager
def pair(
    folder: Path,
    web_port: int,
    *,
    address: str = "",
    agent: AgentUnderTest,
    connect_timeout_ms: int = 30_000,
    **config: Any,
) -> Iterator[Pair]:
    """Both sidecars, ready, and a call has passed if the application is there.

    ``connect_timeout_ms``: of api's upstream; ``config``: of web's proxy.
    """
    port, public = free_port(), free_port()
    statuses = {"web": free_port(), "api": free_port()}
    web_config = {"status_address": f"127.0.0.1:{statuses['web']}", **config}
    sidecar = {"Check": CHECK, "Port": public, "Proxy": {"Config": web_config}}
    agent.api.register({"Name": "web", "Port": web_port, "Connect": {"SidecarService": sidecar}})
    upstream = {
        "DestinationName": "web",
        "LocalBindPort": port,
        "Config": {"connect_timeout_ms": connect_timeout_ms},
    }
    proxy = {"Upstreams": [upstream], "Config": {"status_address": f"127.0.0.1:{statuses['api']}"}}
    sidecar = {"Check": CHECK, "Proxy": proxy}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})
    with contextlib.ExitStack() as stack:
        sides = {}
        for name, status_port in statuses.items():
            program = start_sidecar("builtin", agent, name, folder=folder, address=address)
            stack.enter_context(program)
            sides[name] = Side(name=name, program=program, status_port=status_port)
        for side in sides.values():
            wait_ready(side.program, "builtin")
        ask(port, b"hello")
        yield Pair(agent, sides["web"], sides["api"], port=port, public=public)
