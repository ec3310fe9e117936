"""Click commands made from rows of settings: their options, their help, what was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.arguments import normalised
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting, Source, Sourced, Type
from connect_proxy.settings.sources import Layer

WIDTH: Final = 100


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the command line said."""

    layer: Layer
    positional: tuple[str, ...] = ()
    passthrough: tuple[str, ...] = ()


class SettingOption(click.Option):
    """An option whose declaration is a row of settings. Its text is parsed with all other sources.

    Booleans are no click flags: the normaliser gives every option its value, so that click has
    nothing to guess about the next word.
    """

    def __init__(self, row: Setting) -> None:
        self.row = row
        declared = [parameter(row), f"--{row.name}", f"-{row.name}"]
        super().__init__(
            declared,
            type=str,
            multiple=row.type is Type.STRINGS,
            help=help_text(row),
        )

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """``--flag VALUE`` and the sentence; one dash is as good as two."""
        metavar = "" if self.row.type is Type.BOOLEAN else f" {metavar_of(self.row)}"
        return f"--{self.row.name}{metavar}", help_text(self.row)


class VerbCommand(click.Command):
    """One verb: its options under their headings."""

    def __init__(
        self, name: str, rows: Sequence[Setting], *, usage: str, summary: str, own: str = ""
    ) -> None:
        self.rows = tuple(rows)
        self._usage = usage
        self._own = own or "Options"
        super().__init__(
            name,
            params=[SettingOption(row) for row in self.rows if row.flag],
            help=summary,
            add_help_option=False,
            context_settings={"max_content_width": WIDTH},
        )

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """What stands after the command in the first line of the help."""
        return [self._usage]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each group, in the order of the rows."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.params:
            assert isinstance(option, SettingOption)
            heading = f"{option.row.group} options" if option.row.group else self._own
            sections.setdefault(heading, []).append(option.get_help_record(ctx))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def parameter(row: Setting) -> str:
    """The row's name as click's parameter."""
    return row.name.replace("-", "_")


def metavar_of(row: Setting) -> str:
    """What stands for the value."""
    return row.metavar or ("|".join(row.choices) if row.choices else row.type.value.upper())


def help_text(row: Setting) -> str:
    """The sentence, the variable, the choices, the default."""
    notes = [f"env: {row.env}"] if row.env else []
    if row.choices and row.metavar:
        notes.append("one of " + ", ".join(row.choices))
    if default := default_text(row):
        notes.append(f"default: {default}")
    return f"{row.help}  [{'; '.join(notes)}]" if notes else row.help


def default_text(row: Setting) -> str:
    """The default as a user would write it, empty if there is none."""
    match row.default:
        case None | "" | () | False:
            return ""
        case True:
            return "true"
        case float() as seconds if row.type is Type.DURATION:
            return f"{seconds:g}s" if seconds else ""
        case tuple() as several:
            return ", ".join(several)
        case value:
            return str(value)


def interpreted(words: Sequence[str], command: VerbCommand) -> Given | None:
    """What *words* say to *command*; None once its help was printed. Raises UsageError."""
    arguments = normalised(words, command.rows)
    if arguments.wants_help:
        click.echo(help_page(command))
        return None
    try:
        with command.make_context(f"{PROGRAM} {command.name}", list(arguments.words)) as context:
            said: Mapping[str, Any] = context.params
    except click.UsageError as exc:
        raise UsageError(exc.format_message()) from exc
    return Given(
        layer={
            row.name: Sourced(said[parameter(row)], Source.FLAG, f"-{row.name}")
            for row in command.rows
            if said.get(parameter(row)) not in (None, ())
        },
        positional=arguments.positional,
        passthrough=arguments.passthrough,
    )


def help_page(command: VerbCommand) -> str:
    """The help of *command*."""
    context = click.Context(
        command, info_name=f"{PROGRAM} {command.name}", max_content_width=WIDTH, terminal_width=WIDTH
    )
    spelling = "Flags may be written with one dash or two, as -flag value or -flag=value."
    return f"{command.get_help(context)}\n\n{spelling}"


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
