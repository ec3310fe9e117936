"""The help of one verb, laid out by click."""

from __future__ import annotations

from typing import Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.settings.setting import Setting, Type

WIDTH: Final = 100


class HelpCommand(click.Command):
    """A verb's flags under their headings. Nothing is parsed by it."""

    def __init__(self, verb: VerbCommand) -> None:
        self.verb = verb
        super().__init__(
            verb.name,
            help=verb.summary,
            add_help_option=False,
            context_settings={"max_content_width": WIDTH},
        )

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """What stands after the command in the first line of the help."""
        return [self.verb.usage]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section for each group, in the order of the rows."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for row in self.verb.rows:
            if row.flag:
                heading = f"{row.group} options" if row.group else self.verb.own
                sections.setdefault(heading, []).append(record(row))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def record(row: Setting) -> tuple[str, str]:
    """``--flag VALUE`` and the sentence; one dash is as good as two."""
    metavar = "" if row.type is Type.BOOLEAN else f" {metavar_of(row)}"
    return f"--{row.name}{metavar}", help_text(row)


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


def help_page(command: VerbCommand) -> str:
    """The help of *command*."""
    laid_out = HelpCommand(command)
    context = click.Context(
        laid_out, info_name=f"{PROGRAM} {command.name}", max_content_width=WIDTH, terminal_width=WIDTH
    )
    spelling = "Flags may be written with one dash or two, as -flag value or -flag=value."
    return f"{laid_out.get_help(context)}\n\n{spelling}"
