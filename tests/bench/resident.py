"""Resident memory of running programs, from ``/proc``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def resident_kib(pids: Iterable[int]) -> int:
    """KiB resident of these processes and of all that they started."""
    return sum(parsed(Path(f"/proc/{pid}/status").read_text()) for root in pids for pid in family(root))


def family(pid: int) -> list[int]:
    """*pid* and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def parsed(status: str) -> int:
    """VmRSS in KiB from the text of ``/proc/PID/status``; 0 for a process that has ended."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0
