"""What a rotation of the certificate authority under load costs the requests."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench import wrk
from bench.applications import Application
from bench.peer import RunningPeer
from support.consul_api import ConsulApi

ROUNDS = 3
SECONDS = 6
CONNECTIONS = 16
WEATHER = {"one rotation": SECONDS / 2 + 0.5, "a rotation each second": 1.0}
"""How often, in seconds."""
LOADS: dict[str, tuple[str, ...]] = {"kept": (), "new": ("Connection: close",)}


@dataclass
class Seen:
    """Of one load, with rotations or without."""

    p99_ms: list[float] = field(default_factory=list)
    requests: float = 0.0
    troubles: list[str] = field(default_factory=list)

    def add(self, report: wrk.WrkReport) -> None:
        self.p99_ms.append(report.p99_ms)
        self.requests += report.requests_per_second * SECONDS
        if report.trouble:
            self.troubles.append(report.trouble)


def rotating(peer: RunningPeer, api: ConsulApi) -> list[str]:
    """Rows: kept connections and new ones; p99 with rotations and without, in turns."""
    port = peer.ports[Application.HTTP]
    rows = []
    for name, headers in LOADS.items():
        calm, stormy = Seen(), {weather: Seen() for weather in WEATHER}
        for _ in range(ROUNDS):
            calm.add(wrk.measured(port, connections=CONNECTIONS, seconds=SECONDS, headers=headers))
            for weather, seen in stormy.items():
                with _rotations(api, WEATHER[weather]):
                    seen.add(wrk.measured(port, connections=CONNECTIONS, seconds=SECONDS, headers=headers))
        rows += [_row(weather, name, calm, seen) for weather, seen in stormy.items()]
    return rows


def _row(weather: str, name: str, calm: Seen, stormy: Seen) -> str:
    quiet, loud = (statistics.median(seen.p99_ms) for seen in (calm, stormy))
    lost = "; ".join(stormy.troubles) or "none"
    return (
        f"| {weather}, {CONNECTIONS} {name} connections | p99 {loud:.1f} ms, without "
        f"{quiet:.1f} ms: {loud - quiet:+.1f} ms; of {stormy.requests:,.0f} requests failed: {lost} |"
    )


@contextlib.contextmanager
def _rotations(api: ConsulApi, every_s: float) -> Iterator[None]:
    """A new root every so often within the block; every leaf is issued anew."""
    over = threading.Event()

    def keep_rotating() -> None:
        while not over.wait(every_s):
            rotate(api)

    thread = threading.Thread(target=keep_rotating)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rotate(api: ConsulApi) -> None:
    """One new root."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    body = {"Provider": "consul", "Config": {"PrivateKey": key.decode(), "LeafCertTTL": "72h"}}
    assert api.put("/v1/connect/ca/configuration", body).status == 200
