"""Go's command line, as Consul's users type it, normalised before click sees it. Pure.

``-flag value``, ``-flag=value``, ``--flag value``, ``--flag=value``; booleans ``-b``, ``-b=false``,
``-b=1``. The last of a repeated flag wins, unless it may be repeated. Flags end at ``--`` or at the
first word that is none; what follows ``--`` is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import MalformedValueError, UsageError
from connect_proxy.settings.parsing import parse_boolean
from connect_proxy.settings.setting import Setting, Type

HELP_WORDS: Final = frozenset({"-h", "-help", "--help", "--h"})
VERSION_WORDS: Final = frozenset({"-version", "--version"})
END_OF_FLAGS: Final = "--"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """A command line, taken apart."""

    flags: tuple[tuple[str, str], ...] = ()
    """(name without dashes, value as text) in the order given; a boolean's value is true or false."""
    positional: tuple[str, ...] = ()
    """The first word that is no flag, and all after it."""
    passthrough: tuple[str, ...] = ()
    """All after ``--``, unchanged; empty where a word that is no flag came first."""
    wants_help: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The flags again, each as the one word ``--name=value``."""
        return tuple(f"--{name}={value}" for name, value in self.flags)


def normalised(words: Sequence[str], rows: Sequence[Setting]) -> Arguments:
    """Take *words* apart; *rows* are the known flags.

    Raises UsageError: an unknown flag (the nearest is suggested), a flag without its value, a
    boolean that is none.
    """
    known = {row.name: row for row in rows if row.flag}
    flags: list[tuple[str, str]] = []
    wants_help = False
    index = 0
    while index < len(words) and _is_flag(words[index]):
        word = words[index]
        index += 1
        if word in HELP_WORDS:
            wants_help = True
            continue
        name, equals, value = _split(word)
        row = known.get(name)
        if row is None:
            raise UsageError(_unknown(word, name, rows))
        if row.type is Type.BOOLEAN:
            value = _boolean(word, value) if equals else "true"
        elif not equals:
            value = _following(words, index, word, known)
            index += 1
        flags.append((name, value))
    if index < len(words) and words[index] == END_OF_FLAGS:
        return Arguments(flags=tuple(flags), passthrough=tuple(words[index + 1 :]), wants_help=wants_help)
    return Arguments(flags=tuple(flags), positional=tuple(words[index:]), wants_help=wants_help)


def peeked(words: Sequence[str], rows: Sequence[Setting]) -> Mapping[str, str]:
    """What *words* say for *rows*, before all flags are known: for the flags that decide on the others.

    Nothing is an error here. After an unknown flag a word that is no flag is taken for its value.
    """
    known = {row.name: row for row in rows if row.flag}
    found: dict[str, str] = {}
    index = 0
    while index < len(words) and _is_flag(words[index]):
        name, equals, value = _split(words[index])
        index += 1
        row = known.get(name)
        if not equals and row is not None and row.type is Type.BOOLEAN:
            value = "true"
        elif not equals and index < len(words) and (row is not None or not words[index].startswith("-")):
            value = words[index]
            index += 1
        if row is not None:
            found[name] = value
    return found


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether a help flag stands before ``--``."""
    end = list(words).index(END_OF_FLAGS) if END_OF_FLAGS in words else len(words)
    return any(word in HELP_WORDS for word in words[:end])


def _is_flag(word: str) -> bool:
    """As in Go: a lone dash is a word like any other, ``--`` ends the flags."""
    return word.startswith("-") and word not in {"-", END_OF_FLAGS}


def _split(word: str) -> tuple[str, str, str]:
    """``--name=value`` to (name, "=", value); a third dash stays in the name, which is unknown then."""
    return word.removeprefix("-").removeprefix("-").partition("=")


def _boolean(word: str, value: str) -> str:
    try:
        return "true" if parse_boolean(value) else "false"
    except MalformedValueError as exc:
        message = f'flag "{word}": "{value}" is {exc}'
        raise UsageError(message) from exc


def _following(words: Sequence[str], index: int, word: str, known: Mapping[str, Setting]) -> str:
    """The flag's value in the next word. A flag there means that the value was forgotten."""
    if index == len(words) or words[index] == END_OF_FLAGS:
        message = f'flag "{word}" needs a value; write {word}=VALUE or {word} VALUE'
        raise UsageError(message)
    if _is_flag(words[index]) and _split(words[index])[0] in known:
        message = (
            f'flag "{word}" needs a value, but the flag "{words[index]}" follows;'
            f" write {word}={words[index]} if that is the value"
        )
        raise UsageError(message)
    return words[index]


def _unknown(word: str, name: str, rows: Sequence[Setting]) -> str:
    from connect_proxy.settings.suggestion import suggestion

    for row in rows:
        if row.name == name:
            by = f"the variable {row.env}" if row.env else "a settings file"
            return f'"-{name}" is no flag, since argv can be read by others; set it by {by}'
    shown = word.partition("=")[0]
    near = suggestion(name.replace("_", "-"), [row.name for row in rows if row.flag])
    advice = f'did you mean "-{near}"?' if near else "see --help"
    return f'unknown flag "{shown}"; {advice}'
