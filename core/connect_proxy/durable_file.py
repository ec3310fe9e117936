"""Files that are replaced whole: what was written is there after a crash, the old or the new, never a part.

A new text goes to a file beside, is fsynced and renamed over the old one, then the folder is fsynced.
"""

from __future__ import annotations

import errno
import os
import pwd
import sys
import threading
from pathlib import Path

from connect_proxy.errors import DataDirectoryError


def replace_durably(path: Path, text: str) -> None:
    """Put *text* into *path*, mode 0600; it is on disk when this returns. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            # An operator's command run by root must not take the file away from the agent's user.
            folder_status = path.parent.stat()
            os.fchown(descriptor, folder_status.st_uid, folder_status.st_gid)
        file.write(text)
        file.flush()
        # Not before the writing: the file may have been made as long as it will be (DurableFile).
        file.truncate()
        os.fsync(descriptor)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class DurableFile:
    """One such file, with room reserved for its next text: a full disk is met before anything has changed.

    :meth:`reserve` and :meth:`replace` may be called in different threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spare = path.with_name(f"{path.name}.spare")
        self._reserved = 0
        self._taking = threading.Lock()

    def reserve(self, size: int) -> None:
        """Have room on disk for a text of *size* bytes. Raises DataDirectoryError where there is none.

        On Linux alone; elsewhere it is the writing that fails.
        """
        if sys.platform != "linux":
            return
        with self._taking:
            if size <= self._reserved:
                return
            try:
                descriptor = os.open(self._spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, size)
                finally:
                    os.close(descriptor)
            except OSError as exc:
                raise unusable(self.path, exc) from exc
            self._reserved = size

    def replace(self, text: str) -> None:
        """Put *text* on disk, into the room that was reserved. Raises DataDirectoryError."""
        try:
            with self._taking:
                if self._reserved:
                    self._spare.replace(self.path.with_name(f"{self.path.name}.new"))
                self._reserved = 0
            replace_durably(self.path, text)
        except OSError as exc:
            raise unusable(self.path, exc) from exc


def unusable(path: Path, exc: OSError) -> DataDirectoryError:
    """The error to raise for a file or folder of the data directory. Of a lack of permission it says whose
    folder it is: the operator's commands are for the agent's user."""
    if exc.errno in {errno.EEXIST, errno.ENOTDIR}:
        message = f"'{path}' is no folder, which the data directory has to be; give another -data-dir"
        return DataDirectoryError(message)
    message = f"'{path}' in the data directory: {exc.strerror or exc}"
    if exc.errno in {errno.EACCES, errno.EPERM} and (owner := _owner(path)):
        message += f"; run this as {owner}, or give another -data-dir"
    return DataDirectoryError(message)


def _owner(path: Path) -> str:
    """Who owns the path, or the nearest folder above it that can be looked at."""
    for one in (path, *path.parents):
        try:
            uid = one.stat().st_uid
        except OSError:
            continue
        try:
            return f"the user '{pwd.getpwuid(uid).pw_name}'"
        except KeyError:
            return f"the user with the id {uid}"
    return ""
