"""Which backends are installed, by package metadata alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

OWN_DISTRIBUTION = "connect-proxy"
BACKENDS_GROUP = "connect_proxy.backends"
CHECK_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class InstalledBackend:
    """What package metadata says of one backend. Nothing is imported to know it."""

    name: str
    distribution: str
    version: str
    module: str
    state: str
    """``installed``; ``broken`` if its source shows that already; ``shadowed`` by a backend of our own,
    ``ambiguous`` if strangers share the name; once loaded to check, ``ok`` or ``broken``."""
    reason: str = ""


def backend_names() -> tuple[str, ...]:
    """The names of all installed backends, sorted: metadata alone, no source is looked at."""
    return tuple(sorted(discover(BACKENDS_GROUP)))


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All installed backends, sorted by name, without importing any."""
    return tuple(
        _installed(name, point, points)
        for name, points in sorted(discover(BACKENDS_GROUP).items())
        for point in points
    )


def _installed(name: str, point: EntryPoint, points: Sequence[EntryPoint]) -> InstalledBackend:
    from connect_proxy.backends.inspection import visible_fault

    chosen = preferred(points)
    if point is chosen:
        reason = visible_fault(point.module)
        state = "broken" if reason else "installed"
    elif chosen is not None:
        state, reason = (
            "shadowed",
            f"{name!r} is a backend of {OWN_DISTRIBUTION} itself; choose another name",
        )
    else:
        state, reason = "ambiguous", f"the name is taken by {owners(points)}"
    distribution, version = owner(point)
    return InstalledBackend(
        name=name,
        distribution=distribution,
        version=version,
        module=point.value,
        state=state,
        reason=reason,
    )


def checked_backends() -> tuple[InstalledBackend, ...]:
    """As :func:`installed_backends`, each loaded in a process of its own to tell its state."""
    return tuple(_checked(backend) for backend in installed_backends())


def _checked(backend: InstalledBackend) -> InstalledBackend:
    if backend.state not in {"installed", "broken"}:
        return backend
    command = [sys.executable, "-m", "connect_proxy.backends", backend.name]
    try:
        outcome = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        reason = "" if outcome.returncode == 0 else (outcome.stderr.strip() or f"exit {outcome.returncode}")
    except subprocess.TimeoutExpired:
        reason = f"loading it took longer than {CHECK_TIMEOUT_S:g} s"
    last_line = reason.splitlines()[-1] if reason else ""
    return dataclasses.replace(backend, state="broken" if reason else "ok", reason=last_line)


def discover(group: str) -> dict[str, list[EntryPoint]]:
    """The entry points of *group* by name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in _entry_points(tuple(sys.path)):
        if point.group == group:
            found.setdefault(point.name, []).append(point)
    return found


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """All entry points on *path*, which is ``sys.path``: one look at every package, not one a question."""
    from importlib_metadata import entry_points

    return tuple(entry_points())


def owner(point: EntryPoint) -> tuple[str, str]:
    """Name and version of who installed it; metadata of strangers may lack either."""
    if point.dist is None:
        return "unknown", "unknown"
    return point.dist.name or "unknown", point.dist.version or "unknown"


def owners(points: Sequence[EntryPoint]) -> str:
    return " and ".join(sorted(f"{owner(point)[0]} ({point.value})" for point in points))


def preferred(points: Sequence[EntryPoint]) -> EntryPoint | None:
    """The one that a name means: the only one, or our own, so that no stranger can take its place."""
    if len(points) == 1:  # whose it is need not be read
        return points[0]
    own = [point for point in points if owner(point)[0] == OWN_DISTRIBUTION]
    candidates = own or points
    return candidates[0] if len(candidates) == 1 else None
