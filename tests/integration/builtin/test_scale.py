"""Many connections, many upstreams, few descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from pathlib import Path

import pytest

from bench.idle_connections import raise_descriptor_limit
from soak import application
from soak.footprint import footprint
from soak.mesh import CHECK, Side
from support.agents import AgentUnderTest
from support.applications import echo_server
from support.builtin_pair import Pair, pair
from support.embedded_agent import EmbeddedAgent
from support.ports import free_block, free_port
from support.processes import wait_until
from support.sidecars import start_sidecar, wait_ready

pytestmark = pytest.mark.integration

IDLE = 1000
UPSTREAMS = 200


async def _stand(mesh: Pair, count: int) -> None:
    """So many connections, each of which got an answer; they rest until all are there."""
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port)
        writers.append(writer)
        writer.write(application.ECHO + b"x")
        assert await reader.readexactly(1) == b"x"
    for side, name in ((mesh.web, "inbound_open"), (mesh.api, "outbound_open")):
        # The first call of all may still be on its way out.
        wanted = lambda side=side, name=name: side.count(name) == count  # noqa: E731
        await asyncio.to_thread(wait_until, wanted, f"{count} connections at {side.name}")
    await asyncio.to_thread(mesh.is_calm)
    for writer in writers:
        writer.close()


def test_a_thousand_connections_rest_without_work_and_go_without_trace(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    async def play() -> None:
        async with application.serving() as port:
            with contextlib.ExitStack() as stack:
                mesh = await asyncio.to_thread(
                    stack.enter_context, pair(tmp_path, port, agent=embedded_agent)
                )
                await _stand(mesh, IDLE)
                await asyncio.to_thread(mesh.is_at_rest)

    raise_descriptor_limit()
    asyncio.run(play())


def test_two_hundred_upstreams_are_all_served(agent: AgentUnderTest, tmp_path: Path) -> None:
    status = free_port()
    blocks = [free_block() for _ in range(UPSTREAMS // 50)]
    ports = [port for block in blocks for port in range(block.first, block.last + 1)]
    upstreams = [
        {"DestinationName": f"service-{number}", "LocalBindPort": port} for number, port in enumerate(ports)
    ]
    proxy = {"Upstreams": upstreams, "Config": {"status_address": f"127.0.0.1:{status}"}}
    sidecar = {"Check": CHECK, "Proxy": proxy}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})
    with start_sidecar("builtin", agent, "api", folder=tmp_path) as program:
        wait_ready(program, "builtin")
        side = Side(name="api", program=program, status_port=status)
        assert len(side.status()["listeners"]) == UPSTREAMS + 1
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
                assert caller.recv(1) == b"", "nobody is behind it"
        assert "cannot be reached" not in program.stderr, "an agent takes 200 connections from an address"
    for block in blocks:
        block.release()


def test_where_descriptors_run_out_accepting_pauses_and_everything_comes_back(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        pid = mesh.api.program.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == hard, "the limit is raised at the start"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (footprint(pid).descriptors + 12, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", mesh.port), timeout=60))
            mesh.api.program.wait_for_output("accepting pauses")
            mesh.is_calm()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        mesh.has_recovered()
        wait_until(lambda: mesh.api.count("accept_pauses") > 0, "the pauses are counted")
