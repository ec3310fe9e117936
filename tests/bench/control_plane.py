"""Measure what happens beside the traffic: a bootstrap printed, an endpoint that changes, resources built.

    python tests/bench/control_plane.py [--write docs/performance.md]

Processor time is what a busy machine does not spoil; wall times need a calm one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # started as a script: `bench` and `support` are packages beside it
    sys.path.insert(0, str(TESTS))

from bench.machine import this_machine  # noqa: E402
from bench.page import with_measured_part  # noqa: E402
from connect_proxy.mesh.registration import Upstream  # noqa: E402
from connect_proxy_envoy.address import PipeAddress  # noqa: E402
from connect_proxy_envoy.admin_client import AdminClient  # noqa: E402
from connect_proxy_envoy.resources.sidecar import sidecar_resources  # noqa: E402
from connect_proxy_envoy.version import Version  # noqa: E402
from support.agents import client_environment  # noqa: E402
from support.embedded_agent import connect_proxy_program  # noqa: E402
from support.envoy_snapshot import endpoint, snapshot  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.processes import Program, wait_until  # noqa: E402
from support.real_consul import RealConsul  # noqa: E402
from support.real_parts import consul_binary, envoy_binary  # noqa: E402

BEGIN = "<!-- written by make bench, beside the traffic: begin -->"
END = "<!-- written by make bench, beside the traffic: end -->"
RUNS = 15
ENDPOINTS = 1000
POLL_S = 0.001


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one run, in milliseconds."""

    processor: float
    wall: float


def cost_of(argv: Sequence[str | Path], env: dict[str, str]) -> Cost:
    """Run a program to its end. Raises CalledProcessError."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(processor=processor * 1000, wall=wall * 1000)


def bootstraps(consul: RealConsul) -> list[str]:
    """Rows: ``-bootstrap`` of both programs, in turns."""
    environment = client_environment(CONSUL_HTTP_ADDR=consul.address)
    words = ["envoy", "-sidecar-for", "api", "-bootstrap"]
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(RUNS):
        theirs.append(cost_of([consul_binary(), "connect", *words], environment))
        ours.append(cost_of([connect_proxy_program(), *words], environment))
    return [
        _compared("processor time", [one.processor for one in ours], [one.processor for one in theirs]),
        _compared("from start to exit", [one.wall for one in ours], [one.wall for one in theirs]),
    ]


def _compared(what: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return (
        f"| `-bootstrap` against Consul 1.8.7, {what} "
        f"| {mine:.0f} ms, theirs {other:.0f} ms: {mine / other:.1f} times |"
    )


def endpoint_changes(consul: RealConsul, folder: Path) -> list[str]:
    """Row: from Consul's answer to a registration until Envoy balances over one endpoint more."""
    argv: list[str | Path] = [connect_proxy_program(), "envoy", "-sidecar-for", "api", "-xds", "local"]
    argv += ["-envoy-binary", envoy_binary(), "-admin-bind", f"unix://{folder}/admin"]
    environment = client_environment(CONSUL_HTTP_ADDR=consul.address)
    admin = AdminClient(PipeAddress(path=f"{folder}/admin"))

    def members() -> int:
        return sum(admin.statistics(r"^cluster\.web\..*membership_total$").values())

    with Program(argv, folder=folder, env=environment) as sidecar:
        sidecar.wait_for(admin.is_ready, "Envoy is ready")
        known = wait_until(members, "the first endpoint")
        taken = []
        for number in range(RUNS):
            _register(consul, f"web{number}")
            start = time.perf_counter()
            while members() == known + number:
                time.sleep(POLL_S)
            taken.append((time.perf_counter() - start) * 1000)
    worst = max(taken)
    return [
        "| an endpoint more at Consul until Envoy uses it "
        f"| median {statistics.median(taken):.0f} ms, worst {worst:.0f} ms |"
    ]


def _register(consul: RealConsul, service_id: str) -> None:
    proxy = {"DestinationServiceName": "web", "DestinationServiceID": service_id}
    definition = {"Kind": "connect-proxy", "Name": "web-sidecar-proxy", "ID": f"{service_id}-sidecar-proxy"}
    consul.api.register({**definition, "Port": free_port(), "Proxy": proxy})


def building() -> list[str]:
    """Row: all of a sidecar's resources with many endpoints, from one snapshot."""
    many = [endpoint("db", port=20000 + number) for number in range(ENDPOINTS)]
    world = snapshot(upstreams=[Upstream(destination_name="db", local_bind_port=9191)], found={"db": many})
    taken = [_timed(lambda: sidecar_resources(world, Version(1, 40))) for _ in range(RUNS)]
    return [f"| resources of a snapshot with {ENDPOINTS:,} endpoints | {statistics.median(taken):.0f} ms |"]


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def measured_part() -> str:
    """Everything between the markers."""
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="connect-proxy-bench-") as name:
        folder = Path(name)
        with RealConsul(folder=folder / "consul", grpc=True) as consul:
            upstream = {"DestinationName": "web", "LocalBindPort": free_port()}
            consul.api.register(
                {
                    "Name": "api",
                    "Port": 1,
                    "Connect": {"SidecarService": {"Proxy": {"Upstreams": [upstream]}}},
                }
            )
            _register(consul, "web")
            rows = [*bootstraps(consul), *endpoint_changes(consul, folder), *building()]
    lines = ["| what | measured |", "|---|---|", *rows, "", f"Medians of {RUNS} runs.", "", f"- {machine}"]
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Print, and with ``--write`` write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="PAGE")
    given = parser.parse_args(words)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    part = measured_part()
    print(part)
    if given.write is not None:
        page: Path = given.write
        page.write_text(with_measured_part(page.read_text(), part, begin=BEGIN, end=END))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
