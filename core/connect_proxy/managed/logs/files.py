"""The proxies' own logs: straight to files, so that the agent's death loses no line.

``<data_dir>/proxy/logs/<proxy id>-stdout.log`` and ``-stderr.log``, mode 0600, appended to. A file that
grew too large or too old is rotated to ``.1``, ``.2`` … without losing a line:

- a proxy that writes by connect-proxy itself (``builtin``) is told on its control socket to write to a new
  file once the old one has its new name. Unlike a signal, that is answered: the rotation knows that
  nothing is written to the old file any more;
- every other program keeps its descriptor: the head is copied and then taken out of the file in place
  (``fallocate(FALLOC_FL_COLLAPSE_RANGE)``, fallocate(2)), which the writer does not notice. Where the file
  system cannot do that (tmpfs, btrfs, overlay on those) the file is copied and truncated: what is
  written between the two is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connect_proxy.managed.file_names import stem
from connect_proxy.managed.logs.birth import birth_of

STREAMS: Final = ("stdout", "stderr")
FALLOC_FL_COLLAPSE_RANGE: Final = 0x08


@dataclass(frozen=True, kw_only=True, slots=True)
class RotationPolicy:
    """When a file is rotated, and how many old ones stay."""

    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 7 * 24 * 3600.0
    kept: int = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFiles:
    """The logs of one proxy."""

    folder: Path
    proxy_id: str

    def path(self, stream: str) -> Path:
        """Of ``stdout`` or ``stderr``."""
        return self.folder / f"{stem(self.proxy_id)}-{stream}.log"

    def open(self, stream: str) -> int:
        """A descriptor to append by."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.path(stream), flags, 0o600)


def is_due(path: Path, policy: RotationPolicy, *, now: float | None = None) -> bool:
    """Whether *path* is to be rotated. Its age counts from its last rotation, or its birth.

    A file system that keeps no time of birth counts from the last write: size alone makes the first
    rotation due there.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if status.st_size == 0:
        return False
    if status.st_size >= policy.max_bytes:
        return True
    newest = path.with_name(f"{path.name}.1")
    since = newest.stat().st_mtime if newest.exists() else birth_of(path) or status.st_mtime
    return (time.time() if now is None else now) - since >= policy.max_age_s


@contextlib.contextmanager
def folder_lock(folder: Path, kind: int) -> Iterator[None]:
    """Exclusive (``fcntl.LOCK_EX``) while a log of *folder* is rotated, shared (``LOCK_SH``) while one is
    read on: who follows a log finds it before a rotation or after it. A file system that cannot lock a
    folder (NFS) goes without.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def rename(path: Path, policy: RotationPolicy) -> None:
    """Give it the name of a rotated file; its writer writes on to it, until it is told otherwise."""
    with folder_lock(path.parent, fcntl.LOCK_EX):
        _make_room(path, policy)
        path.rename(path.with_name(f"{path.name}.1"))


def take_back(path: Path) -> None:
    """Undo :func:`rename`, unless its writer has made a new file already."""
    renamed = path.with_name(f"{path.name}.1")
    with folder_lock(path.parent, fcntl.LOCK_EX), contextlib.suppress(FileExistsError):
        path.hardlink_to(renamed)
        renamed.unlink()


def rotate_in_place(path: Path, policy: RotationPolicy) -> bool:
    """The writer keeps its descriptor and notices nothing. True: no line can have been lost."""
    with folder_lock(path.parent, fcntl.LOCK_EX):
        _make_room(path, policy)
        return _rotated_in_place(path)


def _rotated_in_place(path: Path) -> bool:
    copy = path.with_name(f"{path.name}.1")
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Whole blocks, and not up to the very end: fallocate(2) collapses nothing else.
        block = os.fstat(descriptor).st_blksize
        length = max(os.fstat(descriptor).st_size - 1, 0) // block * block
        if length and _copy_and_collapse(descriptor, copy, length):
            return True
        with os.fdopen(os.dup(descriptor), "rb") as source, copy.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            source.seek(0)
            shutil.copyfileobj(source, target)
        os.ftruncate(descriptor, 0)
        return False
    finally:
        os.close(descriptor)


def _copy_and_collapse(descriptor: int, copy: Path, length: int) -> bool:
    """Copy the first *length* bytes and take them out of the file; False where it cannot collapse."""
    with copy.open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        sent = 0
        while sent < length:
            sent += os.sendfile(target.fileno(), descriptor, sent, length - sent)
        os.fsync(target.fileno())
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "fallocate"):
        return False
    offset_t = ctypes.c_int64
    if libc.fallocate(descriptor, FALLOC_FL_COLLAPSE_RANGE, offset_t(0), offset_t(length)) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
        return False  # EINVAL: a file system with units larger than its block size
    raise OSError(code, os.strerror(code), str(copy))


def _make_room(path: Path, policy: RotationPolicy) -> None:
    """Push ``.1`` to ``.2`` and so on; the oldest goes."""
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, policy.kept + 1)]
    numbered[-1].unlink(missing_ok=True)
    for older, newer in zip(reversed(numbered[1:]), reversed(numbered[:-1]), strict=True):
        if newer.exists():
            newer.rename(older)
