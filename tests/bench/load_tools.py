"""The public tools that make the load: whether they are here, and which versions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.applications import nginx_program
from support.processes import run


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One program of Debian."""

    name: str
    package: str
    find: Callable[[], str | None]
    version_option: str


TOOLS: Final = (
    Tool(name="wrk", package="wrk", find=lambda: shutil.which("wrk"), version_option="--version"),
    Tool(name="iperf3", package="iperf3", find=lambda: shutil.which("iperf3"), version_option="--version"),
    Tool(name="nginx", package="nginx-light", find=nginx_program, version_option="-v"),
)


def missing_tools(tools: Sequence[Tool] = TOOLS) -> str:
    """Empty, or what is missing and the command that installs it."""
    missing = [tool for tool in tools if tool.find() is None]
    if not missing:
        return ""
    names = ", ".join(tool.name for tool in missing)
    return f"missing: {names}; sudo apt-get install {' '.join(tool.package for tool in missing)}"


def tool_versions(tools: Sequence[Tool] = TOOLS) -> str:
    """Of all of them, in one line."""
    found = []
    for tool in tools:
        program = tool.find()
        assert program is not None, "checked at the start"
        done = run([program, tool.version_option])
        found.append(f"{tool.name} {version_number(done.stdout + done.stderr)}")
    return ", ".join(found)


def version_number(text: str) -> str:
    """The first thing in *text* that looks like one."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found[0] if found else "of unknown version"
