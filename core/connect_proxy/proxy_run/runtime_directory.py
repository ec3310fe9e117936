"""A private directory for one run's sockets: made before the launch, removed at the end.

Its name carries the pid, so that what a killed run left behind is recognised and removed by the next.
Containers may share the place, and do not see each other's processes: so a run also holds a lock on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

BASE_LIMIT: Final = 60
"""Bytes of a base directory that still leave room for the run's own (32 bytes at most) and a socket's
name within the 107 that sockaddr_un holds."""
USUAL: Final = "/tmp"  # noqa: S108  (the directory itself is made with mode 0700 under a random name)
_NAME: Final = re.compile(r"connect-proxy-(?P<pid>[1-9]\d*)-[0-9a-f]{8}")


def runtime_directory(environment: Mapping[str, str]) -> str:
    """A path, not made yet: in systemd's directory, XDG's, or the temporary one."""
    given = environment.get("RUNTIME_DIRECTORY", "").split(":")[0] or environment.get("XDG_RUNTIME_DIR", "")
    base = (
        given if given and os.path.isdir(given) and os.access(given, os.W_OK) else _temporary(environment)
    )
    if len(os.fsencode(base)) > BASE_LIMIT:
        base = USUAL
    return os.path.join(base, f"connect-proxy-{os.getpid()}-{os.urandom(4).hex()}")


def _temporary(environment: Mapping[str, str]) -> str:
    """As :mod:`tempfile` has it, which is not imported for what nearly everybody has: it is not small."""
    if not any(environment.get(name) for name in ("TMPDIR", "TEMP", "TMP")) and os.access(USUAL, os.W_OK):
        return USUAL
    import tempfile

    return tempfile.gettempdir()


@contextlib.contextmanager
def made(path: str) -> Iterator[None]:
    """The directory exists in the block. What dead runs of this user left beside it goes too."""
    import shutil

    sweep(Path(path).parent)
    os.mkdir(path, 0o700)
    try:
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # a file system without locks is no reason not to run
                held.enter_context(_locked(path))
            yield
    finally:
        shutil.rmtree(path)


def sweep(base: Path) -> None:
    """Remove directories of runs of this user whose process is gone. What cannot be removed stays."""
    import shutil

    for entry in base.glob("connect-proxy-*"):
        named = _NAME.fullmatch(entry.name)
        if named and not _is_alive(int(named["pid"])):
            # Another's, in use by a run whose process is not seen from here, or swept by another run.
            with contextlib.suppress(OSError), _locked(str(entry)):
                if entry.lstat().st_uid == os.geteuid():
                    shutil.rmtree(entry)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """The directory is ours for the block, whoever names it. Raises OSError if somebody else holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
