"""Who holds a TCP port, as far as this machine tells: Linux's /proc, best effort."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LISTENING: Final = "0A"
TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


def port_owner(port: int) -> str:
    """``nginx (pid 812)``, or that we have it ourselves; empty where it cannot be told: other user's
    process, no /proc."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if _holds_any(process, wanted):
                if process.name == str(os.getpid()):
                    return f"another listener of this very process (pid {process.name})"
                name = (process / "comm").read_text().strip()
                return f"{name} (pid {process.name})"
        except OSError:  # gone meanwhile, or not ours to look into
            continue
    return ""


def _holds_any(process: Path, wanted: set[str]) -> bool:
    with os.scandir(process / "fd") as descriptors:
        return any(os.readlink(entry.path) in wanted for entry in descriptors)


def _listening_inodes(port: int) -> set[str]:
    """Column 2 of the table is the local address, 4 the state, 10 the inode (proc(5))."""
    inodes = set()
    for table in TABLES:
        try:
            with Path(table).open() as lines:
                next(lines, None)  # the headings
                for fields in map(str.split, lines):
                    if fields[3] != LISTENING:
                        break  # listeners come first; of connections there may be tens of thousands
                    if int(fields[1].rpartition(":")[2], 16) == port:
                        inodes.add(fields[9])
        except OSError:
            continue
    return inodes
