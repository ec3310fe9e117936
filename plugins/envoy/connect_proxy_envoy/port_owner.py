"""Who listens on a TCP port. Linux only (``/proc``); elsewhere nothing is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"


def port_owner(port: int, proc: Path = Path("/proc")) -> str:
    """``'envoy' (pid 4711)`` for the process that listens on *port*, empty if it cannot be told."""
    inodes = set(_listening_inodes(port, proc))
    if not inodes:
        return ""
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in sorted(proc.glob("[0-9]*")):
        if _holds(process, targets):
            return f"{_name(process)!r} (pid {process.name})"
    return "a process of another user"


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    """Inodes of listening sockets, from proc(5)'s net/tcp: local address, state and inode columns."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _holds(process: Path, targets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in targets for link in (process / "fd").iterdir())
    except OSError:  # ended meanwhile, or another user's
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "?"
