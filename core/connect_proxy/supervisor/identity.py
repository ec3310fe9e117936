"""Which process a pid means: a pid alone is reused, (boot id, pid, start time) is not.

Source: proc(5): ``/proc/sys/kernel/random/boot_id`` and field 22 of ``/proc/PID/stat``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessIdentity:
    """One process of one boot of this machine."""

    boot_id: str
    pid: int
    start_time: int
    """Clock ticks after the boot."""


def boot_id() -> str:
    """This boot's id. Another one means: nothing that ran then runs now."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identity_of(pid: int) -> ProcessIdentity | None:
    """Who *pid* is now; None if there is no such process (or only its unreaped remains)."""
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    return ProcessIdentity(boot_id=boot_id(), pid=pid, start_time=int(fields[19]))


def open_again(identity: ProcessIdentity) -> int | None:
    """A pidfd for that very process; None if it is gone, whoever has its pid now.

    The descriptor is opened before the comparison: from then on the pid cannot become another's
    without the descriptor telling (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    if identity_of(identity.pid) == identity:
        return descriptor
    os.close(descriptor)
    return None


def lives(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs."""
    descriptor = open_again(identity)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def session_members(session: int) -> tuple[int, ...]:
    """Pids of the living processes in *session*: what a daemon left behind."""
    return tuple(pid for pid, fields in _all() if int(fields[3]) == session and fields[0] not in {"Z", "X"})


def end_session(session: int) -> tuple[int, ...]:
    """SIGKILL for all that is left in *session*; the pids. Its leader has to be gone or reaped."""
    left = session_members(session)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):  # it was just ending
            os.kill(pid, signal.SIGKILL)
    return left


def executable_of(pid: int) -> str:
    """What it runs, for logs; empty if that cannot be told."""
    with contextlib.suppress(OSError):  # gone, or another user's
        return str((PROC / str(pid) / "exe").readlink())
    return ""


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in os.listdir(PROC):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            yield int(entry), fields


def _stat(pid: int) -> list[str] | None:
    """The fields from the third on: the second, the name, may hold blanks and brackets."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
