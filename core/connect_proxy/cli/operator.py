"""What the operators' commands have in common: the data directory, the proxies they are about."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.agent.rows import DATA_DIR
from connect_proxy.cli.flags import interpreted
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Setting, Type
from connect_proxy.settings.sources import defaults

if TYPE_CHECKING:
    from connect_proxy.managed.state_file import DataDirectory

ALL: Final = Setting(name="all", type=Type.BOOLEAN, default=False, help="All managed proxies.")
ROWS: Final = (DATA_DIR,)
ROWS_OF_MANY: Final = (ALL, DATA_DIR)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an operator said."""

    settings: ResolvedSettings
    words: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The data directory that is meant: the one given, else the conventional one."""
        from connect_proxy.managed.data_directory import control_directory

        given = self.settings.text("data-dir")
        return Path(given).absolute() if given else control_directory(os.environ, uid=os.geteuid())

    @property
    def directory(self) -> DataDirectory:
        """The same, to read what the last agent left there."""
        from connect_proxy.managed.state_file import DataDirectory

        return DataDirectory(path=self.folder)


def order(
    name: str, rows: Sequence[Setting], words: Sequence[str], *, usage: str, summary: str
) -> Order | None:
    """What *words* say to the verb *name*; None once its help was printed. Flags may follow words too."""
    verb = VerbCommand(name, rows, usage=usage, summary=summary)
    given = interpreted(flags_first(words, rows), verb)
    if given is None:
        return None
    return Order(
        settings=resolve(rows, (defaults(rows), given.layer)), words=(*given.positional, *given.passthrough)
    )


def flags_first(words: Sequence[str], rows: Sequence[Setting]) -> list[str]:
    """*words* with the ids last: people write `logs web-proxy -f` as often as `logs -f web-proxy`."""
    known = {row.name: row for row in rows}
    flags: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            others += rest
            break
        if not word.startswith("-") or word == "-":
            others.append(word)
            continue
        flags.append(word)
        row = known.get(word.lstrip("-"))
        if row is not None and row.type is not Type.BOOLEAN and rest:
            flags.append(rest.pop(0))
    return [*flags, *others]


def at_most_one_id(order: Order, verb: str) -> str:
    """The id, empty if none was given. Raises UsageError for several."""
    if len(order.words) > 1:
        message = f'{verb} takes one id, but there are "{" ".join(order.words)}"; call it for each'
        raise UsageError(message)
    return order.words[0] if order.words else ""


def target(order: Order, verb: str, *, words: Sequence[str] | None = None) -> dict[str, Any]:
    """The part of a request that says which proxies. Raises UsageError unless it is one id or ``-all``."""
    ids = order.words if words is None else tuple(words)
    if order.settings.boolean("all") == bool(ids) or len(ids) > 1:
        message = f"{verb} needs one proxy's id, or -all; `{PROGRAM} status` lists the ids"
        raise UsageError(message)
    return {"all": True} if order.settings.boolean("all") else {"id": ids[0]}


def tell(answer: Mapping[str, Any], *, prefix: str = "") -> int:
    """Print what an agent did to each proxy; the exit code: 1 where it could not be done to all."""
    for line in answer["done"]:
        click.echo(f"{prefix}{line}")
    for problem in answer["problems"]:
        click.echo(f"{PROGRAM}: {problem}", err=True)
    return 1 if answer["problems"] else 0


def operate(
    verb: str, words: Sequence[str], *, summary: str, offline: Callable[[Order], list[str]] | None = None
) -> int:
    """One of start, stop, restart: ask the running agent, then say which proxies it was done to.

    *offline*: what is done where no agent runs. Raises AgentNotRunningError, ControlError.
    """
    from connect_proxy.errors import AgentNotRunningError
    from connect_proxy.managed.control import ask

    said = order(verb, ROWS_OF_MANY, words, usage="ID | -all [OPTIONS]", summary=summary)
    if said is None:
        return 0
    request = target(said, verb)
    try:
        answer = ask(said.folder, verb, **request)
    except AgentNotRunningError:
        if offline is None:
            raise
        answer = {"done": offline(said), "problems": []}
        click.echo(f"{PROGRAM}: no agent runs on '{said.folder}': by its state file", err=True)
    return tell(answer, prefix=f"{verb}: ")
