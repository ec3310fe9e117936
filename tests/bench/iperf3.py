"""Throughput: iperf3 through a proxy, and what it prints as JSON."""

from __future__ import annotations

import json

from support.processes import ProgramFailedError, run

GRACE_S = 20


def gigabits(port: int, *, streams: int, seconds: int) -> float:
    """Gbit/s that arrived at the server. Raises ProgramFailedError."""
    argv = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(seconds), "-P", str(streams), "-J"]
    return parsed(run(argv, deadline_s=seconds + GRACE_S).stdout)


def parsed(output: str) -> float:
    """Gbit/s from what ``iperf3 -J`` prints: all streams, as counted by the receiver."""
    try:
        report = json.loads(output)
    except ValueError as exc:
        message = f"iperf3 printed no JSON: {output[:200]!r}"
        raise ProgramFailedError(message) from exc
    if error := report.get("error"):
        message = f"iperf3 failed: {error}"
        raise ProgramFailedError(message)
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9
