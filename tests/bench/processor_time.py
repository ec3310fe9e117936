"""Processor time that running programs have used, from ``/proc``: tells what work costs, however busy
the machine is with other things."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bench.resident import family


def processor_seconds(pids: Iterable[int]) -> float:
    """Of these processes and of all that they started: in user mode and in the kernel for them."""
    ticks = sum(parsed(Path(f"/proc/{pid}/stat").read_text()) for root in pids for pid in family(root))
    return ticks / os.sysconf("SC_CLK_TCK")


def parsed(stat: str) -> int:
    """utime and stime (proc_pid_stat(5)) in clock ticks; the program's name may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
