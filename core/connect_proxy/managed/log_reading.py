"""Reading the proxies' logs while they are written, rotated and truncated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connect_proxy.errors import UnknownProxyError
from connect_proxy.managed.data_directory import unusable
from connect_proxy.managed.log_files import STREAMS, LogFiles
from connect_proxy.managed.state_file import DataDirectory

SUFFIX: Final = ".log"
CHUNK: Final = 65536
LONGEST_LINE: Final = 1 << 20
"""A line without an end is shown in pieces of this size."""


def log_paths(directory: DataDirectory, proxy_id: str = "") -> dict[str, Path]:
    """The log files of one proxy, or of all, by ``<proxy id>-stdout`` and ``-stderr``.

    Raises UnknownProxyError for an id that neither the state file nor the folder knows, and
    DataDirectoryError.
    """
    try:
        return _log_paths(directory, proxy_id)
    except OSError as exc:
        raise unusable(directory.logs_path, exc) from exc


def _log_paths(directory: DataDirectory, proxy_id: str) -> dict[str, Path]:
    folder = directory.logs_path
    if not proxy_id:
        return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    files = LogFiles(folder=folder, proxy_id=proxy_id)
    found = {f"{proxy_id}-{stream}": files.path(stream) for stream in STREAMS}
    records = directory.read()
    if proxy_id not in records and not any(path.exists() for path in found.values()):
        known = ", ".join(sorted(records)) or "none"
        message = f"no managed proxy has the id '{proxy_id}'; there are {known}"
        raise UnknownProxyError(message)
    return {name: path for name, path in found.items() if path.exists()}


class LogTail:
    """One file, read on where the last reading ended."""

    def __init__(self, path: Path, *, last: int | None) -> None:
        """Begin with the *last* lines; None: with the first that is there."""
        self._path = path
        self._inode = 0
        self._offset = 0
        self._partial = b""
        if last is not None:
            self._offset = _offset_of_last(path, last)
            self._inode = _inode(path)

    def lines(self, *, ended: bool = False) -> Iterator[str]:
        """What was added since, line by line. *ended*: a last line without its end is given too.

        A file that was renamed away is read to its end first, if it is the newest rotated one; one
        that was cut off or collapsed is read from where the rest of it begins.
        """
        for data in self._chunks():
            *whole, self._partial = (self._partial + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(self._partial) > LONGEST_LINE:
                yield self._partial.decode(errors="replace")
                self._partial = b""
        if ended and self._partial:
            yield self._partial.decode(errors="replace")
            self._partial = b""

    def _chunks(self) -> Iterator[bytes]:
        rotated = self._path.with_name(f"{self._path.name}.1")
        inode = _inode(self._path)
        if self._inode and inode != self._inode:
            if _inode(rotated) == self._inode:
                yield from self._read(rotated)
            self._offset = 0
        elif inode and self._path.stat().st_size < self._offset:
            # The head went to .1 in place: what was not read yet of it stands there, at the same offset.
            taken = _size(rotated)
            if taken > self._offset:
                yield from self._read(rotated)
            self._offset = max(self._offset - taken, 0)
            if self._path.stat().st_size < self._offset:
                self._offset = 0
        self._inode = inode
        if inode:
            yield from self._read(self._path)

    def _read(self, path: Path) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                while data := file.read(CHUNK):
                    self._offset += len(data)
                    yield data
        except FileNotFoundError:
            return
        except OSError as exc:
            raise unusable(path, exc) from exc


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _offset_of_last(path: Path, count: int) -> int:
    """Where the last *count* lines begin; read from the end, so that a large file costs nothing."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            if count == 0:
                return position
            breaks = 0
            tail = True
            while position > 0:
                step = min(CHUNK, position)
                position -= step
                file.seek(position)
                block = file.read(step)
                if tail and block.endswith(b"\n"):
                    breaks -= 1  # the end of the last line begins none
                tail = False
                found = block.count(b"\n")
                if breaks + found >= count:
                    at = len(block)
                    while breaks < count:
                        at = block.rindex(b"\n", 0, at)
                        breaks += 1
                    return position + at + 1
                breaks += found
            return 0
    except FileNotFoundError:
        return 0
    except OSError as exc:
        raise unusable(path, exc) from exc
