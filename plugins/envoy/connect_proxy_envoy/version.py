"""Envoy's versions: reading them and comparing them with what a Consul agent supports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TRIPLE = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """major.minor.patch."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


OLDEST_SERVED = Version(1, 22)
"""The oldest Envoy that our own xDS serves. An older one does not know
``match_typed_subject_alt_names`` and, ignoring what it does not know, would accept any identity."""


def find_version(text: str) -> Version | None:
    """The first three numbers joined by dots in *text* (``envoy  version: <sha>/1.40.0/Clean/…``)."""
    match = _TRIPLE.search(text)
    return Version(*(int(part) for part in match.groups())) if match else None


def is_supported(version: Version, supported: Sequence[str]) -> bool:
    """Consul's rule: from the lowest minor version listed to the highest one, any patch release.

    A list without a readable version supports everything: an agent that does not say does not refuse.
    """
    listed = sorted(found for found in map(find_version, supported) if found)
    if not listed:
        return True
    lowest, highest = listed[0], listed[-1]
    return (lowest.major, lowest.minor) <= (version.major, version.minor) <= (highest.major, highest.minor)
