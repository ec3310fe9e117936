"""Entry points of the installed packages, by the short way or the thorough one.

``importlib_metadata`` knows every way in which a package can be installed, and takes 2 MiB of memory and
a third of the time of a start. Nearly everybody has packages in folders, each with a file
``entry_points.txt`` that can simply be read. What is not like that is left to ``importlib_metadata``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib_metadata import Distribution

OURS: Final = "connect_proxy."
"""How the names of our groups begin."""
METADATA: Final = (".dist-info", ".egg-info")
_VALUE: Final = re.compile(r"(?P<module>[\w.]+)\s*(:\s*(?P<attr>[\w.]+)\s*)?((?P<extras>\[.*\])\s*)?$")


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """One line of a package's ``entry_points.txt``."""

    group: str
    name: str
    value: str
    """``module`` or ``module:attribute``."""
    metadata: str = ""
    """The folder that it stands in; empty if *distribution* is known."""
    found: Distribution | None = None

    @property
    def module(self) -> str:
        """What is to be imported. Raises ValueError."""
        return self._parts()[0]

    @property
    def distribution(self) -> Distribution | None:
        """Who installed it."""
        if not self.metadata:
            return self.found
        from importlib_metadata import Distribution

        return Distribution.at(self.metadata)

    def load(self) -> Any:
        """Import it. Raises whatever that raises."""
        module, attribute = self._parts()
        return functools.reduce(getattr, filter(None, attribute.split(".")), import_module(module))

    def _parts(self) -> tuple[str, str]:
        match = _VALUE.match(self.value)
        if match is None:
            message = f"the entry point {self.name!r} names {self.value!r}, which is no module"
            raise ValueError(message)
        return match["module"], match["attr"] or ""


def entry_points(path: Sequence[str]) -> tuple[EntryPoint, ...]:
    """Those of our groups on *path*, which is ``sys.path``."""
    points = from_folders(path)
    return from_every_finder() if points is None else points


def from_every_finder() -> tuple[EntryPoint, ...]:
    """The thorough way, on ``sys.path``."""
    import importlib_metadata

    return tuple(
        EntryPoint(group=point.group, name=point.name, value=point.value, found=point.dist)
        for point in importlib_metadata.entry_points()
        if point.group.startswith(OURS)
    )


def from_folders(path: Sequence[str]) -> tuple[EntryPoint, ...] | None:
    """The short way; None where there is more than folders, or one package twice."""
    if any(
        hasattr(finder, "find_distributions") and not _looks_into_folders(finder)
        for finder in sys.meta_path
    ):
        return None
    points: list[EntryPoint] = []
    seen: set[str] = set()
    try:
        for folder in path:
            for metadata in _metadata(folder):
                package = re.sub(r"[-_.]+", "_", metadata.stem.partition("-")[0]).lower()
                if package in seen:
                    return None  # which of them counts is a long story
                seen.add(package)
                points += _points(metadata)
    except (OSError, ValueError):
        return None
    return tuple(points)


def _looks_into_folders(finder: object) -> bool:
    """Whether it is Python's own, or what ``importlib_metadata`` puts into its place."""
    return finder is PathFinder or type(finder).__module__ == "importlib_metadata"


def _metadata(folder: str) -> Iterator[Path]:
    """Of the packages in *folder*. Raises OSError if it is none, but nothing if it is not there."""
    if folder.lower().endswith(".egg"):
        raise NotADirectoryError(folder)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder or "."):
            if name.lower().endswith(METADATA):
                yield Path(folder, name)


def _points(metadata: Path) -> Iterator[EntryPoint]:
    """Those of our groups. Raises OSError, ValueError."""
    try:
        text = (metadata / "entry_points.txt").read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group.startswith(OURS) and line and not line.startswith("#"):
            name, value = line.split("=", 1)
            yield EntryPoint(group=group, name=name.strip(), value=value.strip(), metadata=str(metadata))
