"""Reading the proxies' logs while they are written, rotated and truncated."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connect_proxy.durable_file import unusable
from connect_proxy.errors import DataDirectoryError, UnknownProxyError
from connect_proxy.managed.logs.files import STREAMS, LogFiles, folder_lock
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
    if not folder.is_dir():
        message = f"no proxy ever logged in '{directory.path}'; give the agent's own -data-dir"
        raise DataDirectoryError(message)
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


def last_line(directory: DataDirectory, proxy_id: str) -> str:
    """The last line of its standard error; empty where there is none. Raises DataDirectoryError."""
    path = LogFiles(folder=directory.logs_path, proxy_id=proxy_id).path("stderr")
    try:
        return next(LogTail(path, last=1).lines(ended=True), "") if path.exists() else ""
    except OSError as exc:
        raise unusable(path, exc) from exc


class LogTail:
    """One file, read on where the last reading ended.

    A log is one stream in pieces: the rotated files from the oldest, then the file itself. Whether the
    newest piece was renamed away or copied and taken out of the file in place makes no difference: each
    new rotated file holds the next bytes of the stream, from where the file itself began.
    """

    def __init__(self, path: Path, *, last: int | None) -> None:
        """Begin with the *last* lines; None: with the first that is there."""
        self._path = path
        self._partial = b""
        self._offset = 0
        """Read up to here, counted from the beginning of the oldest piece that is not read yet."""
        self._late: tuple[int, int] | None = None
        """Inode and offset of the renamed file that its writer may not have left yet."""
        with folder_lock(path.parent, fcntl.LOCK_SH):
            self._inode = _inode(path)
            self._newest = _inode(_rotated(path, 1))
            """Of the rotated files that are read already."""
            if last is not None:
                self._offset = _offset_of_last(path, last)

    def lines(self, *, ended: bool = False) -> Iterator[str]:
        """What was added since, line by line. *ended*: a last line without its end is given too.

        A file that was cut off by others is read from its new beginning. Raises DataDirectoryError.
        """
        while data := self._piece():
            *whole, self._partial = (self._partial + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(self._partial) > LONGEST_LINE:
                yield self._partial.decode(errors="replace")
                self._partial = b""
        if ended and self._partial:
            yield self._partial.decode(errors="replace")
            self._partial = b""

    def _piece(self) -> bytes:
        """The next bytes; none if all is read."""
        try:
            with folder_lock(self._path.parent, fcntl.LOCK_SH):
                return self._next()
        except OSError as exc:
            raise unusable(self._path, exc) from exc

    def _next(self) -> bytes:
        for path in reversed(_newer(self._path, self._newest)):
            if data := self._read_on(path):
                return data
            self._put_aside(path)
        inode = _inode(self._path)
        if (self._inode and inode != self._inode) or _size(self._path) < self._offset:
            self._offset = 0
        self._inode = inode
        return self._read_on(self._path)

    def _read_on(self, path: Path) -> bytes:
        data = _read(path, self._offset)
        # After that: what stands in this file was written after all that stands in the ones before.
        if late := self._rest_of_renamed():
            return late
        self._offset += len(data)
        return data

    def _rest_of_renamed(self) -> bytes:
        if self._late is None:
            return b""
        inode, offset = self._late
        for path in _newer(self._path, 0):
            if _inode(path) == inode:
                data = _read(path, offset)
                self._late = inode, offset + len(data)
                return data
        return b""

    def _put_aside(self, path: Path) -> None:
        """That rotated file is read: the stream goes on in the next one."""
        self._newest = _inode(path)
        if self._inode in {0, self._newest}:
            self._late = self._newest, self._offset
            self._inode = self._offset = 0
        else:
            self._offset = max(self._offset - _size(path), 0)


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _newer(path: Path, than: int) -> list[Path]:
    """The rotated files from the newest on, up to the one with the inode *than*."""
    found: list[Path] = []
    while _inode(one := _rotated(path, len(found) + 1)) not in {0, than}:
        found.append(one)
    return found


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)
    except FileNotFoundError:
        return b""


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
