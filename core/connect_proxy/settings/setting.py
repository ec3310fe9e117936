"""One setting's declaration, and one value with its source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Type(Enum):
    """What a setting's text is parsed to."""

    STRING = "string"
    BOOLEAN = "boolean"
    """Go's ParseBool: 1 t T TRUE true True, 0 f F FALSE false False; anything else is an error."""
    INTEGER = "integer"
    DURATION = "duration"
    """Go's ParseDuration (``1m30s``, ``250ms``); the value is float seconds."""
    STRINGS = "strings"
    """A flag that may be repeated; the value is a tuple."""


class Source(Enum):
    """Where a value came from, lowest precedence first."""

    DEFAULT = "default"
    FILE = "settings file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One row: flag, variable, settings-file key, type, default and help follow from it."""

    name: str
    """The flag without dashes and the key in a settings file: ``http-addr``."""
    type: Type = Type.STRING
    default: str | bool | int | float | tuple[str, ...] | None = ""
    help: str
    """One sentence for ``--help`` and the reference page."""
    env: str = ""
    """The variable that sets it, if any."""
    metavar: str = ""
    """What stands for the value in ``--help``: ``ADDRESS``, ``FILE``."""
    choices: tuple[str, ...] = ()
    group: str = ""
    """The heading it stands under in ``--help``; empty for a backend's own options."""
    flag: bool = True
    """False: no flag, since argv is readable by others (a password) or it would make no sense."""
    in_file: bool = True
    """False: not a key of a settings file (what only makes sense for one call)."""
    secret: bool = False
    """Never printed; warned of when given as a flag, since argv is readable by others."""
    empty_env_is_unset: bool = True
    """Whether an empty variable means "not set" (Consul's rule for nearly all of them)."""


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value and where it came from. ``origin`` names the flag, the variable or the file and key."""

    value: object
    source: Source
    origin: str = ""
