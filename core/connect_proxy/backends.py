"""Finding backends, loading the chosen one, calling its hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connect_proxy.plugin_api import Setting


@dataclass(frozen=True, kw_only=True)
class InstalledBackend:
    """What package metadata says of one backend. Nothing is imported to know it."""

    name: str
    distribution: str
    version: str
    module: str
    state: str
    """``ok``, or ``broken`` once it was loaded to check; ``ambiguous`` if the name is taken twice."""
    reason: str = ""


class Backend:
    """The chosen backend behind typed hooks, each error carrying its name."""

    name: str

    def options(self) -> Sequence[Setting]:
        """Its own command-line options."""
        raise NotImplementedError


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All installed backends, sorted by name, without importing any."""
    raise NotImplementedError


def checked_backends() -> tuple[InstalledBackend, ...]:
    """As :func:`installed_backends`, each loaded in a process of its own to tell its state."""
    raise NotImplementedError


def load_backend(name: str) -> Backend:
    """Load that backend and no other. Raises UnknownBackendError, BackendLoadError."""
    raise NotImplementedError
