"""Two services with built-in sidecars on the embedded agent, and what an operator does to them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.embedded_agent import EmbeddedAgent
from support.ports import free_port
from support.processes import Program
from support.sidecars import start_sidecar, wait_ready

CHECK = {"TTL": "1h", "Status": "passing"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One sidecar."""

    name: str
    program: Program
    status_port: int

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=20)
        try:
            connection.request("GET", "/status")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def count(self, name: str) -> int:
        """One figure of its status."""
        return int(self.status().get("counters", {}).get(name, 0))

    def open(self) -> int:
        """Connections it holds."""
        return self.count("inbound_open") + self.count("outbound_open")


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """It runs."""

    agent: EmbeddedAgent
    web: Side
    api: Side
    port: int
    """Where the calls go in: api's upstream ``web``."""
    application_port: int

    @property
    def sides(self) -> tuple[Side, Side]:
        return (self.web, self.api)

    @property
    def pids(self) -> dict[str, int]:
        """Every program of ours."""
        assert self.agent.program is not None
        return {"agent": self.agent.program.pid, **{side.name: side.program.pid for side in self.sides}}

    def deny(self) -> None:
        self.agent.api.set_intention("api", "web", "deny")

    def allow(self) -> None:
        self.agent.api.set_intention("api", "web", "allow")

    def change_other_intention(self, chance: random.Random) -> None:
        """One that concerns nobody who calls: everybody is asked about again all the same."""
        self.agent.api.set_intention("stranger", "web", chance.choice(["allow", "deny"]))

    def add_dead_instance(self, number: int) -> None:
        """An instance that passes its checks and does not answer: another one has to be tried."""
        connect = {"SidecarService": {"Check": CHECK, "Address": "127.0.0.1", "Port": 1}}
        self.agent.api.register({"Name": "web", "ID": f"web-{number}", "Port": 1, "Connect": connect})

    def remove_instance(self, number: int) -> None:
        self.agent.api.deregister(f"web-{number}")

    def change_upstreams(self, *, more: bool) -> None:
        """Another upstream comes or goes; the one that is called stays."""
        _register_api(self.agent, self.port, self.api.status_port, more=more)

    def move_application(self, port: int) -> None:
        """The application is on another port from now on; where it was is :attr:`application_port`."""
        _register_web(self.agent, port, self.web.status_port)

    def rotate(self) -> None:
        """A new root; every leaf is issued anew."""
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        body = {"Provider": "consul", "Config": {"PrivateKey": key.decode(), "LeafCertTTL": "72h"}}
        assert self.agent.api.put("/v1/connect/ca/configuration", body).status == 200


def _register_web(agent: EmbeddedAgent, application_port: int, status_port: int) -> None:
    config = {"status_address": f"127.0.0.1:{status_port}"}
    sidecar = {"Check": CHECK, "Proxy": {"Config": config}}
    agent.api.register({"Name": "web", "Port": application_port, "Connect": {"SidecarService": sidecar}})


def _register_api(agent: EmbeddedAgent, port: int, status_port: int, *, more: bool = False) -> None:
    upstreams: list[dict[str, Any]] = [{"DestinationName": "web", "LocalBindPort": port}]
    if more:
        upstreams.append({"DestinationName": "db", "LocalBindPort": free_port()})
    proxy = {"Upstreams": upstreams, "Config": {"status_address": f"127.0.0.1:{status_port}"}}
    agent.api.register(
        {"Name": "api", "Port": 1, "Connect": {"SidecarService": {"Check": CHECK, "Proxy": proxy}}}
    )


@contextlib.asynccontextmanager
async def running(folder: Path, application_port: int) -> AsyncIterator[Mesh]:
    """Ready, and a call has passed."""
    port, web_status, api_status = free_port(), free_port(), free_port()
    with contextlib.ExitStack() as stack:
        agent = await asyncio.to_thread(stack.enter_context, EmbeddedAgent(folder=folder))
        await asyncio.to_thread(_register_web, agent, application_port, web_status)
        await asyncio.to_thread(_register_api, agent, port, api_status)
        sides = []
        for name, status_port in (("web", web_status), ("api", api_status)):
            program = stack.enter_context(start_sidecar("builtin", agent, name, folder=folder))
            sides.append(Side(name=name, program=program, status_port=status_port))
        for side in sides:
            await asyncio.to_thread(wait_ready, side.program, "builtin")
        yield Mesh(agent=agent, web=sides[0], api=sides[1], port=port, application_port=application_port)


def passes(port: int) -> bool:
    """Whether a call gets through now."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as probe:
        probe.sendall(b"Ehello")
        return probe.recv(5) == b"hello"
    return False
