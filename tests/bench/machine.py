"""The machine of a run, without anything that names it."""

from __future__ import annotations

import os
import platform
import re
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the figures depend on."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    kernel: str
    """Major and minor number."""
    python: str
    openssl: str
    load: float
    """Average of the minute before the run: what else went on."""

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.processor}, {self.memory_gib:.0f} GiB, {self.system}, "
            f"Linux {self.kernel}, Python {self.python}, {self.openssl}; "
            f"load before the run {self.load:.2f}"
        )


def this_machine() -> Machine:
    """Asked at the start of a run."""
    release = platform.freedesktop_os_release()
    return Machine(
        processor=processor_name(Path("/proc/cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=release.get("PRETTY_NAME", release.get("NAME", "Linux")),
        kernel=".".join(re.findall(r"\d+", platform.release())[:2]),
        python=platform.python_version(),
        openssl=" ".join(ssl.OPENSSL_VERSION.split()[:2]),
        load=os.getloadavg()[0],
    )


def processor_name(cpuinfo: str) -> str:
    """The model from the text of ``/proc/cpuinfo``; the architecture where it says none (ARM)."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
