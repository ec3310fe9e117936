"""``connect-proxy``: the table of its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from connect_proxy.cli import COMPLETION_VARIABLE, PROGRAM
from connect_proxy.cli.arguments import HELP_WORDS, VERSION_WORDS, asks_for_help
from connect_proxy.errors import ConnectProxyError, UsageError

DEFAULT_COMMAND: Final = "run"
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """One command. Its module, imported when it is used, has ``execute(words) -> int`` and ``ROWS``."""

    module: str
    summary: str


COMMANDS: Final[Mapping[str, Verb]] = {
    "run": Verb(
        module="connect_proxy.cli.commands.run",
        summary="Run one sidecar in the foreground (what connect-proxy does without a command).",
    ),
    "agent": Verb(
        module="connect_proxy.cli.commands.agent",
        summary="Run managed proxies; with -dev, a small Consul for development.",
    ),
    "status": Verb(
        module="connect_proxy.cli.commands.status",
        summary="List the managed proxies.",
    ),
    "logs": Verb(
        module="connect_proxy.cli.commands.logs",
        summary="Print what managed proxies wrote.",
    ),
    "start": Verb(
        module="connect_proxy.cli.commands.start",
        summary="Start managed proxies that were stopped.",
    ),
    "stop": Verb(
        module="connect_proxy.cli.commands.stop",
        summary="Stop managed proxies until they are started.",
    ),
    "restart": Verb(
        module="connect_proxy.cli.commands.restart",
        summary="Restart managed proxies, one after the other.",
    ),
    "reload": Verb(
        module="connect_proxy.cli.commands.reload",
        summary="Have the agent read its files again.",
    ),
    "set-log-level": Verb(
        module="connect_proxy.cli.commands.set_log_level",
        summary="Change how much running proxies log.",
    ),
    "systemd": Verb(
        module="connect_proxy.cli.commands.systemd",
        summary="Print units for systemd.",
    ),
    "backends": Verb(
        module="connect_proxy.cli.commands.backends",
        summary="List the installed backends.",
    ),
    "validate": Verb(
        module="connect_proxy.cli.commands.validate",
        summary="Check the agent's configuration files.",
    ),
    "wait": Verb(
        module="connect_proxy.cli.commands.wait",
        summary="Wait until a sidecar is ready.",
    ),
    "completion": Verb(
        module="connect_proxy.cli.commands.completion",
        summary="Print the completion script for bash, zsh or fish.",
    ),
    "version": Verb(
        module="connect_proxy.cli.commands.version",
        summary="Print the versions of connect-proxy and of what it uses.",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* (without the program's name); the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    open_closed_streams()
    try:
        instruction = os.environ.get(COMPLETION_VARIABLE, "")
        code = complete(instruction) if instruction else dispatch(words)
        sys.stdout.flush()
    except ConnectProxyError as exc:
        sys.stderr.write(f"{PROGRAM}: {exc}\n")
        return exc.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Who read our output has gone (`| head`): nothing to say, and nobody to say it to. The
        # interpreter flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as exc:
        if exc.errno not in DISK_FULL:
            raise
        sys.stderr.write(f"{PROGRAM}: cannot write: {exc.strerror}; free disk space\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def open_closed_streams() -> None:
    """Standard streams that we were started without (``>&-``) lead to nowhere: else the next file that is
    opened would be the one that is printed to."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def complete(instruction: str) -> int:
    """Answer a shell that completes a command line."""
    from connect_proxy.cli.completion import answer

    return answer(instruction, {name: verb.module for name, verb in COMMANDS.items()})


def dispatch(words: Sequence[str]) -> int:
    """Find the command that *words* begin with and run it. Raises UsageError, and what it raises."""
    first = words[0] if words else ""
    if first in HELP_WORDS and len(words) == 1:
        from connect_proxy.cli.help import overview

        sys.stdout.write(overview({name: verb.summary for name, verb in COMMANDS.items()}))
        return 0
    if first in VERSION_WORDS:
        return execute("version", words[1:])
    if not first or first.startswith("-"):
        return execute(DEFAULT_COMMAND, words)
    if first in COMMANDS:
        return execute(first, words[1:])
    return execute(DEFAULT_COMMAND, as_backend(first, words[1:]))


def execute(name: str, words: Sequence[str]) -> int:
    """Import that command and run it."""
    run = cast("Callable[[Sequence[str]], int]", import_module(COMMANDS[name].module).execute)
    return run(words)


def as_backend(word: str, rest: Sequence[str]) -> list[str]:
    """``envoy …`` means ``--backend envoy …`` where a backend of that name is installed."""
    from connect_proxy.backends import backend_names
    from connect_proxy.cli.arguments import peeked
    from connect_proxy.settings.fields import CORE

    names = backend_names()
    if word not in names:
        from connect_proxy.settings.suggestion import suggestion

        near = suggestion(word, [*COMMANDS, *names])
        hint = f'; did you mean "{near}"?' if near else ""
        message = (
            f'"{word}" is neither a command ({", ".join(COMMANDS)})'
            f" nor an installed backend ({', '.join(names)}){hint}"
        )
        raise UsageError(message)
    other = peeked(rest, CORE).get("backend", word)
    if other != word and not asks_for_help(rest):
        message = f'"{word}" and "-backend {other}" contradict each other; name one backend'
        raise UsageError(message)
    return ["-backend", word, *rest]
