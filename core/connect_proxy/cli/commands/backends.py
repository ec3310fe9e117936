"""``connect-proxy backends``: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import click

from connect_proxy.cli.flags import interpreted, no_words
from connect_proxy.cli.table import table
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.setting import Setting, Type
from connect_proxy.settings.sources import defaults

ROWS: Final = (
    Setting(
        name="check",
        type=Type.BOOLEAN,
        default=False,
        help="Load each backend, in a process of its own, and say what is wrong with it.",
    ),
    Setting(name="format", default="table", choices=("table", "json"), help="How the list is written."),
)


def execute(words: Sequence[str]) -> int:
    """List them; 0, also where some are broken: that is what the list is for."""
    verb = VerbCommand(
        "backends",
        ROWS,
        usage="[OPTIONS]",
        summary="List the installed backends. None is imported, but for -check.",
    )
    given = interpreted(words, verb)
    if given is None:
        return 0
    no_words(given, "backends")
    settings = resolve(ROWS, (defaults(ROWS), given.layer))

    from connect_proxy.backends import checked_backends, installed_backends

    found = checked_backends() if settings.boolean("check") else installed_backends()
    if settings.text("format") == "json":
        click.echo(json.dumps([asdict(backend) for backend in found], indent=2))
    else:
        head = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "REASON")
        rows = [(one.name, one.distribution, one.version, one.state, one.reason) for one in found]
        click.echo(table(head, rows))
    return 0
