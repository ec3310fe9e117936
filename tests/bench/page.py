"""The measured part of ``docs/performance.md``, between two markers; the prose around it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.machine import Machine
from bench.result import Result
from bench.table import table

BEGIN: Final = "<!-- written by make bench: begin -->"
END: Final = "<!-- written by make bench: end -->"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """How a result came about."""

    command: str
    rounds: int
    seconds: int
    idle_connections: int
    versions: Sequence[str]
    machine: Machine


def measured_part(result: Result, circumstances: Circumstances) -> str:
    """Everything between the markers."""
    told = circumstances
    lines = [
        table(result),
        "",
        f"Medians of {told.rounds} interleaved round{'s' if told.rounds != 1 else ''}, "
        f"{told.seconds} s for each load, {told.idle_connections:,} idle connections. "
        f"Measured with `{told.command}`.",
        "",
        *(f"- {version}" for version in told.versions),
        f"- {told.machine}",
    ]
    if result.troubles:
        lines += ["", "What the load tools complained of:", ""]
        lines += [f"- {trouble}" for trouble in result.troubles]
    return "\n".join(lines)


def with_measured_part(page: str, part: str, *, begin: str = BEGIN, end: str = END) -> str:
    """*page* with *part* between the markers. Raises ValueError if it lacks them."""
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        message = f"the page lacks its markers {begin!r} and {end!r}: put them where the table belongs"
        raise ValueError(message)
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"
