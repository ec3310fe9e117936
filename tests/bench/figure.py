"""What is measured, in which order, and how far the built-in proxy is to get beside its peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table."""

    key: str
    """Its name on the command line."""
    title: str
    digits: int
    more_is_better: bool
    goals: dict[str, float]
    """By peer: the ratio of the built-in proxy's figure to the peer's; at least or at most, as
    ``more_is_better`` says."""


FIGURES: Final = (
    Figure(
        key="throughput-1",
        title="Gbit/s, 1 stream",
        digits=2,
        more_is_better=True,
        goals={"go": 1.3, "envoy": 1.0},
    ),
    Figure(
        key="throughput-4",
        title="Gbit/s, 4 streams",
        digits=2,
        more_is_better=True,
        goals={"go": 1.1, "envoy": 1.0},
    ),
    Figure(
        key="requests-16",
        title="requests/s, 16 kept connections",
        digits=0,
        more_is_better=True,
        goals={"go": 1.1, "envoy": 1.0},
    ),
    Figure(
        key="requests-1",
        title="requests/s, 1 connection",
        digits=0,
        more_is_better=True,
        goals={},
    ),
    Figure(
        key="p99-1",
        title="p99 in ms, 1 connection",
        digits=2,
        more_is_better=False,
        goals={"go": 1.0, "envoy": 1.2},
    ),
    Figure(
        key="new-connections",
        title="new connections/s, 16 at a time",
        digits=0,
        more_is_better=True,
        goals={"go": 2.5, "envoy": 0.6},
    ),
    Figure(
        key="cost-throughput-1",
        title="ms of processor time per Gbit, 1 stream",
        digits=0,
        more_is_better=False,
        goals={},
    ),
    Figure(
        key="cost-requests-16",
        title="µs of processor time per request, 16 kept connections",
        digits=1,
        more_is_better=False,
        goals={},
    ),
    Figure(
        key="cost-new-connections",
        title="µs of processor time per new connection",
        digits=0,
        more_is_better=False,
        goals={},
    ),
    Figure(
        key="idle-connection",
        title="KiB more memory per idle connection, both sidecars",
        digits=0,
        more_is_better=False,
        goals={"go": 0.4, "envoy": 2.0},
    ),
    Figure(
        key="resident",
        title="MiB resident, one idle sidecar",
        digits=0,
        more_is_better=False,
        goals={"go": 0.8, "envoy": 0.6},
    ),
)
"""In the order of the table."""
