"""Measure the built-in proxy beside Consul's own and Envoy, in one run, in interleaved rounds.

::

    PYTHONPATH=tests python tests/bench/side_by_side.py --rounds 3 --seconds 5

Every figure goes client → client-side sidecar → mutual TLS → server-side sidecar → application, on
loopback. Absolute figures depend on the machine and move from run to run: the ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.contenders import CONTENDERS, Pair, Scene
from support.ports import free_port
from support.processes import Program
from support.real_consul import RealConsul

MICROSECONDS = {"us": 1.0, "ms": 1000.0, "s": 1e6}


def output_of(*argv: object) -> str:
    """What a tool writes to stdout. Raises CalledProcessError."""
    words = [str(word) for word in argv]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def throughput(pair: Pair, seconds: int, streams: int) -> float:
    """Gbit/s."""
    said = json.loads(
        output_of(
            "iperf3", "-c", "127.0.0.1", "-p", pair.ports["iperf"], "-t", seconds, "-P", streams, "-J"
        )
    )
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9


def requests(pair: Pair, seconds: int, connections: int, *extra: str) -> tuple[float, float]:
    """Requests per second and the 99th percentile in milliseconds."""
    said = output_of(
        "wrk", "--latency", "-t", 1, "-c", connections, "-d", f"{seconds}s", *extra,
        f"http://127.0.0.1:{pair.ports['http']}/",
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate is not None, said
    assert tail is not None, said
    return float(rate[1]), float(tail[1]) * MICROSECONDS[tail[2]] / 1000


def resident_mib(pair: Pair) -> float:
    """Of one sidecar on average."""
    return statistics.mean(resident_kib(pid) for pid in pair.pids) / 1024


def resident_kib(pid: int) -> int:
    """VmRSS of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None, status
    return int(found[1])


def measure(pair: Pair, seconds: int) -> dict[str, float]:
    """Every row for one pair."""
    figures = {"MiB resident, one idle sidecar": resident_mib(pair)}
    figures["Gbit/s, 1 stream"] = throughput(pair, seconds, 1)
    figures["Gbit/s, 4 streams"] = throughput(pair, seconds, 4)
    figures["requests/s, 16 kept connections"] = requests(pair, seconds, 16)[0]
    rate, tail = requests(pair, seconds, 1)
    figures["requests/s, 1 connection"] = rate
    figures["p99 ms, 1 connection"] = tail
    figures["new connections/s"] = requests(pair, seconds, 16, "-H", "Connection: close")[0]
    return figures


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """A real Consul and the two applications."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connect-proxy-bench-")))
        consul = stack.enter_context(RealConsul(folder=folder / "consul"))
        iperf_port = free_port()
        iperf = ["iperf3", "-s", "-p", str(iperf_port)]
        stack.enter_context(Program(iperf, folder=folder, name="iperf3"))
        responder = [sys.executable, str(Path(__file__).with_name("http_responder.py"))]
        http = stack.enter_context(Program(responder, folder=folder, name="http"))
        http.wait_for(lambda: http.stdout.endswith("\n"), "its port")
        http_port = int(http.stdout)
        yield Scene(consul=consul, applications={"iperf": iperf_port, "http": http_port}, folder=folder)


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Medians, and the ratios of the built-in proxy to the others."""
    names = list(results)
    others = [name for name in names if name != "builtin"]
    heads = [*names, *(f"builtin / {name}" for name in others if "builtin" in names)]
    lines = ["| figure | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for row in results[names[0]][0]:
        medians = {name: statistics.median(each[row] for each in results[name]) for name in names}
        cells = [f"{medians[name]:,.2f}" for name in names]
        if "builtin" in names:
            cells += [f"{medians['builtin'] / medians[name]:.2f}" for name in others]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run and print the table to stdout, progress to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="for each figure")
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    arguments = parser.parse_args()
    missing = [tool for tool in ("iperf3", "wrk") if shutil.which(tool) is None]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.only}
    with scene() as shared:
        for number in range(arguments.rounds):
            for name in arguments.only:
                with CONTENDERS[name](shared) as pair:
                    results[name].append(measure(pair, arguments.seconds))
                sys.stderr.write(f"round {number + 1} {name}: {results[name][-1]}\n")
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main()
