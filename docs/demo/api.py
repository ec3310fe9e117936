"""The client of the demo: it calls ``web`` on the local port of its sidecar's upstream.

    python docs/demo/api.py PORT [--measure SECONDS]

Without --measure: one request, its answer on standard output. With it: a JSON line of latency and
throughput, as this client sees them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass

TIMEOUT_S = 10.0
CONNECTIONS = 4
CHUNK = 256 * 1024
DOWNLOAD = 1 << 40
"""More than any measurement reads: the client hangs up when its time is over."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a user of the upstream gets."""

    requests: int
    p50_ms: float
    p99_ms: float
    requests_per_s: float
    mib_per_s: float


def get(port: int, path: str = "/") -> str:
    """One request on a connection of its own. Raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    if response.status != http.client.OK:
        message = f"{response.status} {response.reason}: {body.strip()}"
        raise http.client.HTTPException(message)
    return body


def measure(port: int, seconds: float) -> Measurement:
    """Three runs of a third of *seconds* each: one kept connection, several, one big download."""
    share = seconds / 3
    latencies = sorted(_latencies(port, share))
    counts: list[int] = []
    workers = [
        threading.Thread(target=lambda: counts.append(len(_latencies(port, share))))
        for _ in range(CONNECTIONS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(counts) < CONNECTIONS:
        message = "a connection failed during the measurement"
        raise http.client.HTTPException(message)
    return Measurement(
        requests=len(latencies) + sum(counts),
        p50_ms=round(latencies[len(latencies) // 2] * 1000, 2),
        p99_ms=round(latencies[len(latencies) * 99 // 100] * 1000, 2),
        requests_per_s=round(sum(counts) / share),
        mib_per_s=round(_download(port, share) / 2**20),
    )


def _latencies(port: int, seconds: float) -> list[float]:
    """Seconds of each request, one after the other on one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    try:
        while (start := time.perf_counter()) < end or not latencies:
            connection.request("GET", "/")
            connection.getresponse().read()
            latencies.append(time.perf_counter() - start)
    finally:
        connection.close()
    return latencies


def _download(port: int, seconds: float) -> float:
    """Bytes per second of one long answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    received = 0
    start = time.perf_counter()
    try:
        connection.request("GET", f"/bytes/{DOWNLOAD}")
        response = connection.getresponse()
        while time.perf_counter() - start < seconds:
            received += len(response.read1(CHUNK))
    finally:
        connection.close()
    return received / (time.perf_counter() - start)


def main() -> int:
    """Exit code 1 where the request is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--measure", type=float, metavar="SECONDS")
    arguments = parser.parse_args()
    try:
        if arguments.measure:
            print(json.dumps(asdict(measure(arguments.port, arguments.measure))))
        else:
            print(get(arguments.port), end="")
    except (OSError, http.client.HTTPException) as failure:
        print(f"no answer: {type(failure).__name__}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
