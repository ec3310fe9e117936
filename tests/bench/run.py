"""Measure the built-in proxy beside Consul's own and Envoy, in one run, in interleaved rounds.

    python tests/bench/run.py [--quick] [--only ROW ...] [--write docs/performance.md]

Every figure goes client → its sidecar → mutual TLS → the server's sidecar → application, all on
loopback of this machine. Absolute figures move from run to run: the ratios are what counts. The table
goes to stdout, and with --write into a page too.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # started as a script: `bench` and `support` are packages beside it
    sys.path.insert(0, str(TESTS))

from bench import applications, consul_mesh  # noqa: E402
from bench.consul_peer import ConsulPeer, builtin_peer, go_peer  # noqa: E402
from bench.envoy_peer import EnvoyPeer  # noqa: E402
from bench.figure import FIGURES  # noqa: E402
from bench.idle_connections import raise_descriptor_limit  # noqa: E402
from bench.load_tools import missing_tools, tool_versions  # noqa: E402
from bench.loads import Effort, loads_for  # noqa: E402
from bench.machine import this_machine  # noqa: E402
from bench.page import Circumstances, measured_part, with_measured_part  # noqa: E402
from bench.peer import Peer  # noqa: E402
from bench.result import Result  # noqa: E402
from support.processes import ProgramFailedError  # noqa: E402
from support.real_parts import RealPartMissingError  # noqa: E402

PEERS = ("builtin", "go", "envoy")
ROUNDS, SECONDS, IDLE_CONNECTIONS = 3, 5, 1000
QUICK_ROUNDS, QUICK_SECONDS, QUICK_IDLE_CONNECTIONS = 1, 2, 200
PROGRAM_MISSING = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do, from the command line."""

    figures: tuple[str, ...]
    peers: tuple[str, ...]
    variants: tuple[tuple[str, str], ...]
    """More contenders: a name, and the command of one sidecar."""
    rounds: int
    effort: Effort
    page: Path | None
    """Where the result is written down."""


def parsed_plan(words: Sequence[str]) -> Plan:
    """From the command line. Ends the program with 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    keys = [figure.key for figure in FIGURES]
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round: a look, not a result")
    add("--only", nargs="+", metavar="ROW", choices=keys, help=f"of {', '.join(keys)}")
    add("--peers", nargs="+", choices=PEERS, default=PEERS, help="of builtin, go, envoy")
    add("--rounds", type=_positive)
    add("--seconds", type=_positive, help="for each load")
    add(
        "--variant",
        action="append",
        default=[],
        type=_variant,
        metavar="NAME=COMMAND",
        help="one contender more, such as another version of builtin: the command of one sidecar, "
        "with {address} of the Consul agent and {service}",
    )
    add("--write", type=Path, metavar="PAGE", help="put the result into this page, between its markers")
    given = parser.parse_args(words)
    if given.write and (given.quick or given.only or given.variant or set(given.peers) != set(PEERS)):
        parser.error("--write is for a run of everything: leave the other options away")
    peers = tuple(peer for peer in PEERS if peer in given.peers)
    return Plan(
        figures=tuple(key for key in keys if not given.only or key in given.only),
        peers=peers,
        variants=tuple(given.variant),
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        effort=Effort(
            seconds=given.seconds or (QUICK_SECONDS if given.quick else SECONDS),
            idle_connections=QUICK_IDLE_CONNECTIONS if given.quick else IDLE_CONNECTIONS,
        ),
        page=given.write,
    )


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        message = f"{word!r} is no number above 0"
        raise argparse.ArgumentTypeError(message)
    return int(word)


def _variant(word: str) -> tuple[str, str]:
    name, _, command = word.partition("=")
    if not name or not command:
        message = f"{word!r} is not NAME=COMMAND"
        raise argparse.ArgumentTypeError(message)
    return name, command


@contextlib.contextmanager
def contenders(plan: Plan, folder: Path) -> Iterator[list[Peer]]:
    """Everything that is to be measured, with the applications and the Consul that it needs."""
    with (
        applications.running(folder / "applications") as ports,
        consul_mesh.running(folder / "consul", ports) as mesh,
    ):
        makers: dict[str, Callable[[], Peer]] = {
            "builtin": lambda: builtin_peer(mesh),
            "go": lambda: go_peer(mesh),
            "envoy": lambda: EnvoyPeer(applications=ports),
        }
        peers: list[Peer] = [makers[name]() for name in plan.peers]
        for name, command in plan.variants:
            peers.append(ConsulPeer(name=name, version=name, command=command, mesh=mesh))
        yield peers


def measured(plan: Plan, peers: Sequence[Peer], folder: Path) -> Result:
    """All rounds. Each begins with another peer, so that none always follows the same one."""
    result = Result(peers=[peer.name for peer in peers])
    loads = loads_for(plan.figures)
    for number in range(plan.rounds):
        first = number % len(peers)
        for peer in (*peers[first:], *peers[:first]):
            with peer.running(folder / f"round-{number + 1}") as running:
                for load in loads:
                    reading = load.measure(running, plan.effort)
                    result.add(peer.name, reading, wanted=plan.figures)
                    values = ", ".join(f"{key} {value:,.2f}" for key, value in reading.values.items())
                    print(f"round {number + 1} of {plan.rounds}, {peer.name}: {values}", file=sys.stderr)
    return result


def bench(plan: Plan, words: Sequence[str]) -> None:
    """Measure, print, and write down what is worth it."""
    machine = this_machine()
    with tempfile.TemporaryDirectory(prefix="connect-proxy-bench-") as name:
        folder = Path(name)
        with contenders(plan, folder) as peers:
            result = measured(plan, peers, folder)
            versions = [*(peer.version for peer in peers), tool_versions()]
    part = measured_part(
        result,
        Circumstances(
            command=shlex.join(["python", "tests/bench/run.py", *words]),
            rounds=plan.rounds,
            seconds=plan.effort.seconds,
            idle_connections=plan.effort.idle_connections,
            versions=versions,
            machine=machine,
        ),
    )
    print(part)
    if plan.page is not None:
        plan.page.write_text(with_measured_part(plan.page.read_text(), part))
        print(f"written to {plan.page}", file=sys.stderr)


def main(words: Sequence[str]) -> int:
    """Exit code: 0; 1 a peer or a tool failed; 2 usage; 4 a program is missing."""
    plan = parsed_plan(words)
    if missing := missing_tools():
        print(missing, file=sys.stderr)
        return PROGRAM_MISSING
    signal.signal(signal.SIGTERM, _interrupt)
    raise_descriptor_limit()
    try:
        bench(plan, words)
    except RealPartMissingError as exc:
        print(exc, file=sys.stderr)
        return PROGRAM_MISSING
    except ProgramFailedError as exc:
        print("\n".join([str(exc), *getattr(exc, "__notes__", [])]), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """As Ctrl-C: every block ends what it started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
