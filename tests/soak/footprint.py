"""What a process holds, from ``/proc``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """At one moment."""

    descriptors: int
    threads: int
    resident_kib: int

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.threads} threads, {self.resident_kib / MIB:.1f} MiB"


def footprint(pid: int) -> Footprint:
    """Of a running process."""
    status = Path(f"/proc/{pid}/status").read_text()
    figures = {name: int(value) for name, value in re.findall(r"^(Threads|VmRSS):\s+(\d+)", status, re.M)}
    return Footprint(
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=figures["Threads"],
        resident_kib=figures["VmRSS"],
    )


def processor_ticks(pid: int) -> int:
    """Ticks of a hundredth of a second spent so far (proc(5): utime and stime of stat)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])
