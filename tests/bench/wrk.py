"""Requests: wrk through a proxy, and what it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from support.processes import ProgramFailedError, run

GRACE_S = 20
MILLISECONDS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, kw_only=True)
class WrkReport:
    """Of one run."""

    requests_per_second: float
    p99_ms: float
    trouble: str = ""
    """Socket errors and answers that were no success, as wrk words them; empty if there were none."""


def measured(port: int, *, connections: int, seconds: int, headers: tuple[str, ...] = ()) -> WrkReport:
    """Load on ``http://127.0.0.1:PORT/`` from one thread. Raises ProgramFailedError."""
    argv = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
    for header in headers:
        argv += ["-H", header]
    done = run([*argv, f"http://127.0.0.1:{port}/"], deadline_s=seconds + GRACE_S)
    return parsed(done.stdout or done.stderr)


def parsed(output: str) -> WrkReport:
    """From what ``wrk --latency`` prints. Raises ProgramFailedError if it measured nothing."""
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", output, re.MULTILINE)
    tail = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
    if rate is None or tail is None:
        message = f"wrk measured nothing: {output[:300]!r}"
        raise ProgramFailedError(message)
    complaints = re.findall(r"^\s*((?:Socket errors|Non-2xx).*)$", output, re.MULTILINE)
    return WrkReport(
        requests_per_second=float(rate[1]),
        p99_ms=float(tail[1]) * MILLISECONDS[tail[2]],
        trouble="; ".join(complaints),
    )
