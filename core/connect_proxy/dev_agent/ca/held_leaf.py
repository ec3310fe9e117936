"""Leaves that sidecars have from an agent before this one, and when they get new ones. Pure.

The new root is not signed by the one before, whose key is gone: a sidecar that shows a leaf of it is
believed only by those who have learned of it. So after a restart the roots come first, and the leaves
after a time in which every sidecar has come back; then not all at once, as Consul spreads them after a
rotation (30 s there).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SPREAD: Final = 1 / 3
"""Of the grace: over so much more the leaves are spread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldLeaf:
    """That a service has a leaf of the agent before. Its key is with the sidecar alone."""

    service: str
    serial: str
    root_id: str
    valid_before: datetime
    release_at: datetime
    """When whoever has it may have a new one."""


def release_time(*, valid_before: datetime, now: datetime, grace: timedelta, random: float) -> datetime:
    """When a leaf that ends at *valid_before* is replaced, *random* (0 <= random < 1) of the spread after
    the *grace*; one that is near its end no later than half-way to it."""
    return min(now + grace * (1 + SPREAD * random), now + (valid_before - now) / 2)
