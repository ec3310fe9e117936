"""The flags of a verb, made from rows of settings, and what a command line says to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.arguments import normalised
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Source, Sourced, Type
from connect_proxy.settings.sources import Layer


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the command line said."""

    layer: Layer
    positional: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()


def interpreted(words: Sequence[str], command: VerbCommand) -> Given | None:
    """What *words* say to *command*; None once its help was printed. Raises UsageError."""
    arguments = normalised(words, command.rows)
    if arguments.wants_help:
        from connect_proxy.cli.help_page import help_page

        sys.stdout.write(help_page(command) + "\n")
        return None
    said: dict[str, Any] = {}
    repeatable = {row.name for row in command.rows if row.type is Type.STRINGS}
    for name, value in arguments.flags:  # the last one wins
        said[name] = (*said.get(name, ()), value) if name in repeatable else value
    return Given(
        layer={
            row.name: Sourced(said[row.name], Source.FLAG, f"-{row.name}")
            for row in command.rows
            if row.name in said
        },
        positional=arguments.positional,
        passthrough=arguments.passthrough,
    )


def no_words(given: Given, verb: str, *, passthrough: bool = False) -> None:
    """Raise UsageError where words stand that *verb* does not take."""
    if given.positional:
        word = given.positional[0]
        advice = (
            "words for the proxy's program go after --" if passthrough else f"see {PROGRAM} {verb} --help"
        )
        message = f'{verb} does not take the word "{word}"; {advice}'
        raise UsageError(message)
    if given.passthrough and not passthrough:
        message = f"{verb} passes nothing through: leave out -- and what follows it"
        raise UsageError(message)
