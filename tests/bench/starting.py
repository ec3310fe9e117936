"""How long a sidecar takes from its start until it is ready, with few upstreams and with many."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench.processor_time import processor_seconds
from support.agents import client_environment
from support.embedded_agent import connect_proxy_program
from support.ports import free_block
from support.processes import Program
from support.real_consul import RealConsul

RUNS = 5
FEW, MANY = 2, 200
POLL_S = 0.002
READY = "connect_proxy.run: ready"


def starting(folder: Path) -> list[str]:
    """Row: medians of both, in turns."""
    with RealConsul(folder=folder / "consul") as consul:
        blocks = [free_block() for _ in range(MANY // 50)]
        ports = [port for block in blocks for port in range(block.first, block.last + 1)]
        for count in (FEW, MANY):
            upstreams = [
                {"DestinationName": f"db-{number}", "LocalBindPort": port}
                for number, port in enumerate(ports[:count])
            ]
            sidecar = {"Proxy": {"Upstreams": upstreams}}
            consul.api.register(
                {"Name": f"with-{count}", "Port": 1, "Connect": {"SidecarService": sidecar}}
            )
        taken: dict[int, list[tuple[float, float]]] = {FEW: [], MANY: []}
        for number in range(RUNS):
            for count, found in taken.items():
                found.append(_start(consul.address, count, folder / f"{number}"))
        for block in blocks:
            block.release()
    few, many = ([statistics.median(each) for each in zip(*taken[count], strict=True)] for count in taken)
    return [
        f"| from start to ready with {MANY} upstreams | {many[0]:.0f} ms, with {FEW}: {few[0]:.0f} ms; "
        f"{many[1]:.0f} ms of processor time, with {FEW}: {few[1]:.0f} ms |"
    ]


def _start(address: str, count: int, folder: Path) -> tuple[float, float]:
    """Wall time and processor time of one start, in milliseconds."""
    argv: list[str | Path] = [
        connect_proxy_program(),
        "--backend",
        "builtin",
        "-sidecar-for",
        f"with-{count}",
    ]
    environment = client_environment(CONSUL_HTTP_ADDR=address)
    begin = time.perf_counter()
    with Program(argv, folder=folder, env=environment, name=f"with-{count}") as sidecar:
        while READY not in sidecar.stderr:
            assert sidecar.running, sidecar.picture()
            time.sleep(POLL_S)
        wall = time.perf_counter() - begin
        return wall * 1000, processor_seconds([sidecar.pid]) * 1000
