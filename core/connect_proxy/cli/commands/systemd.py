"""``connect-proxy systemd [agent|server|sidecar]``: units to put into /etc/systemd/system."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.flags import interpreted
from connect_proxy.cli.units import UNITS, unit
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting

ROWS: Final[tuple[Setting, ...]] = ()


def execute(words: Sequence[str]) -> int:
    """Print one unit, or all. Raises UsageError for a name that is none."""
    summary = (
        "Print units for systemd: agent (connect-proxy-agent.service, managed proxies), server"
        " (connect-proxy-server.service, the same with -server), sidecar (connect-proxy@.service, one"
        " sidecar each that nobody manages); all if none is named."
    )
    given = interpreted(
        words, VerbCommand("systemd", ROWS, usage="[agent|server|sidecar]", summary=summary)
    )
    if given is None:
        return 0
    names = (*given.positional, *given.passthrough) or tuple(UNITS)
    for name in names:
        if name not in UNITS:
            message = f'"{name}" is no unit; there are {", ".join(UNITS)}'
            raise UsageError(message)
    click.echo("\n".join(unit(name, program=program()) for name in names), nl=False)
    return 0


def program() -> str:
    """The path of the program that is running now."""
    beside = os.path.join(os.path.dirname(sys.executable), PROGRAM)
    found = beside if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
    return os.path.abspath(found or sys.argv[0])
