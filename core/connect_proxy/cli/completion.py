"""Completion of commands, backends, flags and their values: click's shell scripts, our own words.

The scripts call ``connect-proxy`` itself with ``COMPLETION_VARIABLE`` set. What is completed follows from
the same tables as everything else; the agent is never asked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from connect_proxy.cli import COMPLETION_VARIABLE, PROGRAM
from connect_proxy.cli.arguments import END_OF_FLAGS, peeked
from connect_proxy.errors import ConnectProxyError
from connect_proxy.settings.fields import CORE
from connect_proxy.settings.setting import Setting, Type

Modules = Mapping[str, str]
"""The commands, each with the module that has its rows."""


def script(shell: str) -> str:
    """The script for *shell* (bash, zsh, fish)."""
    # Not the subclass's own source(): bash's starts a bash to ask for its version first.
    return ShellComplete.source(_completer(shell, {}))


def answer(instruction: str, modules: Modules) -> int:
    """Do what a script asks for by *instruction* (``bash_complete``); the exit code."""
    shell, _, action = instruction.partition("_")
    if action != "complete" or get_completion_class(shell) is None:
        return 1
    sys.stdout.write(_completer(shell, modules).complete() + "\n")
    return 0


def _completer(shell: str, modules: Modules) -> ShellComplete:
    """Click's class for *shell*, with our words instead of those of a click command."""
    kind = get_completion_class(shell)
    assert kind is not None, shell

    class Completer(kind):  # type: ignore[valid-type,misc]  # one of three classes, known at run time
        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            return completions(args, incomplete, modules)

    completer: ShellComplete = Completer(click.Command(PROGRAM), {}, PROGRAM, COMPLETION_VARIABLE)
    return completer


def completions(args: Sequence[str], incomplete: str, modules: Modules) -> list[CompletionItem]:
    """What may stand for *incomplete* after the words *args*."""
    if END_OF_FLAGS in args:
        return [CompletionItem(incomplete, type="file")]
    if not args and not incomplete.startswith("-"):
        return _starting(incomplete, (*modules, *_backend_names()))
    command = args[0] if args and args[0] in modules else "run"
    if command == "completion":
        return _starting(incomplete, ("bash", "zsh", "fish"))
    rows = {row.name: row for row in _rows(command, args, modules) if row.flag}
    if incomplete.startswith("-") and "=" not in incomplete:
        return _flags(incomplete, rows)
    name, value = _pending(args, incomplete)
    if name not in rows or (rows[name].type is Type.BOOLEAN and "=" not in incomplete):
        return []
    return _values(rows[name], value, prefix=incomplete.removesuffix(value))


def _pending(args: Sequence[str], incomplete: str) -> tuple[str, str]:
    """The flag whose value is being typed, and what is there of it."""
    if incomplete.startswith("-"):
        word, _, value = incomplete.partition("=")
        return word.lstrip("-"), value
    # Bash splits words at "=": -format=js comes as -format, =, js.
    last = args[-2] if len(args) > 1 and args[-1] == "=" else args[-1] if args else ""
    return last.lstrip("-") if last.startswith("-") else "", incomplete


def _flags(incomplete: str, rows: Mapping[str, Setting]) -> list[CompletionItem]:
    """The flags that begin so, with as many dashes as were typed; two if that is open."""
    dashes = "-" if incomplete[1:2] not in {"", "-"} else "--"
    typed = incomplete.lstrip("-")
    names = {**{name: row.help for name, row in rows.items()}, "help": "Print the options."}
    return [
        CompletionItem(dashes + name, help=text) for name, text in names.items() if name.startswith(typed)
    ]


def _values(row: Setting, typed: str, *, prefix: str) -> list[CompletionItem]:
    """What the value of *row* may be, as far as that is known."""
    if row.name == "backend":
        return _starting(typed, _backend_names(), prefix)
    if row.choices:
        return _starting(typed, row.choices, prefix)
    if row.type is Type.BOOLEAN:
        return _starting(typed, ("true", "false"), prefix)
    if row.metavar in {"FILE", "PATH"}:
        return [CompletionItem(typed, type="file")]
    return [CompletionItem(typed, type="dir")] if row.metavar in {"DIR", "DIRECTORY"} else []


def _starting(typed: str, words: Sequence[str], prefix: str = "") -> list[CompletionItem]:
    return [CompletionItem(prefix + word) for word in words if word.lower().startswith(typed.lower())]


def _rows(command: str, args: Sequence[str], modules: Modules) -> tuple[Setting, ...]:
    """The rows of *command*; for run also those of the backend that the words name."""
    if command != "run":
        return tuple(import_module(modules[command]).ROWS)
    names = _backend_names()
    words = args[1:] if args and args[0] in modules else args
    named = words[0] if words and words[0] in names else peeked(words, CORE).get("backend", "")
    if named not in names:
        return CORE
    from connect_proxy.backends import load_backend

    try:
        return (*CORE, *load_backend(named).options())
    except ConnectProxyError:
        return CORE  # a broken backend has no flags to offer; running it says what is wrong


def _backend_names() -> tuple[str, ...]:
    from connect_proxy.backends import backend_names

    return backend_names()
