"""Measure what the built-in proxy does beside moving bytes: obey, rest, start, rotate.

    python tests/bench/changes.py [--only ROW ...] [--write docs/performance.md]

Each row is one sentence of docs/performance.md with its figure. Times are wall time and want a calm
machine; processor time does not mind a busy one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # started as a script: `bench` and `support` are packages beside it
    sys.path.insert(0, str(TESTS))

from bench import applications, consul_mesh  # noqa: E402
from bench.consul_peer import builtin_peer  # noqa: E402
from bench.idle_connections import raise_descriptor_limit  # noqa: E402
from bench.load_tools import missing_tools  # noqa: E402
from bench.machine import this_machine  # noqa: E402
from bench.obeying import obeying  # noqa: E402
from bench.page import with_measured_part  # noqa: E402
from bench.resting import resting  # noqa: E402
from bench.rotating import rotating  # noqa: E402
from bench.starting import starting  # noqa: E402
from support.embedded_agent import EmbeddedAgent  # noqa: E402

BEGIN = "<!-- written by make bench, changes: begin -->"
END = "<!-- written by make bench, changes: end -->"
PROGRAM_MISSING = 4

Ports = Mapping[applications.Application, int]


def _obeying(folder: Path, ports: Ports) -> list[str]:
    """By the real Consul: its answer is where the time begins."""
    with (
        consul_mesh.running(folder / "consul", ports) as mesh,
        builtin_peer(mesh).running(folder / "proxies") as running,
    ):
        return obeying(running, mesh.consul)


def _resting(folder: Path, ports: Ports) -> list[str]:
    with (
        consul_mesh.running(folder / "consul", ports) as mesh,
        builtin_peer(mesh).running(folder / "proxies") as running,
    ):
        return resting(running)


def _starting(folder: Path, _ports: Ports) -> list[str]:
    return starting(folder)


def _rotating(folder: Path, ports: Ports) -> list[str]:
    """By the embedded agent: Consul's takes its time, up to half a minute, to renew a leaf."""
    with EmbeddedAgent(folder=folder / "agent") as agent:
        mesh = consul_mesh.filled(agent, ports)
        with builtin_peer(mesh).running(folder / "proxies") as running:
            return rotating(running, agent.api)


ROWS: Final[Mapping[str, Callable[[Path, Ports], list[str]]]] = {
    "intention": _obeying,
    "idle": _resting,
    "upstreams": _starting,
    "rotation": _rotating,
}


def measured_part(rows: Sequence[str]) -> str:
    """Everything between the markers."""
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="connect-proxy-bench-") as name:
        folder = Path(name)
        with applications.running(folder / "applications") as ports:
            lines = [line for row in rows for line in ROWS[row](folder / row, ports)]
    return "\n".join(["| what | measured |", "|---|---|", *lines, "", f"- {machine}"])


def main(words: Sequence[str]) -> int:
    """Print, and with ``--write`` write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=ROWS, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the result into this page")
    given = parser.parse_args(words)
    if given.write and given.only:
        parser.error("--write is for a run of everything: leave --only away")
    if missing := missing_tools():
        print(missing, file=sys.stderr)
        return PROGRAM_MISSING
    raise_descriptor_limit()
    part = measured_part(given.only or tuple(ROWS))
    print(part)
    if given.write is not None:
        page: Path = given.write
        page.write_text(with_measured_part(page.read_text(), part, begin=BEGIN, end=END))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
