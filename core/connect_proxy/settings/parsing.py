"""From text to values, by the rules of Go's ``strconv`` and ``time``, which Consul's users know. Pure.

Every parser raises MalformedValueError with what is wrong and what is accepted, without the text
itself where it may be secret: the caller knows and adds whose value it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from connect_proxy.errors import MalformedValueError
from connect_proxy.settings.setting import Setting, Type

TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")

_UNIT_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, the micro sign
    "μs": 1e-6,  # U+03BC, the Greek letter: Go takes both
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_SECONDS: Final = (2**63 - 1) / 1e9
"""A Go duration is an int64 of nanoseconds: some 292 years."""


def parse_boolean(text: str) -> bool:
    """Go's ``strconv.ParseBool``."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    message = f"not a boolean; use one of {', '.join(TRUE + FALSE)}"
    raise MalformedValueError(message)


def parse_duration(text: str) -> float:
    """Go's ``time.ParseDuration``, in seconds: ``1m30s``, ``250ms``, ``-1.5h``, ``0``."""
    unsigned = text[1:] if text[:1] in {"+", "-"} else text
    seconds, end = 0.0, 0
    if unsigned != "0":
        while part := _PART.match(unsigned, end):
            seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
            end = part.end()
        if not unsigned or end != len(unsigned):
            message = 'not a duration; use a number with a unit (ns, us, ms, s, m, h), such as "1m30s"'
            raise MalformedValueError(message)
    if seconds > _LONGEST_SECONDS:
        message = "a duration beyond 292 years; use a shorter one"
        raise MalformedValueError(message)
    return -seconds if text.startswith("-") else seconds


def parse_integer(text: str) -> int:
    """A decimal integer with an optional sign, at most 64 bits."""
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    message = 'not an integer; use decimal digits, such as "8500"'
    raise MalformedValueError(message)


def parse_choice(text: str, choices: Sequence[str]) -> str:
    """The one of *choices* that *text* spells, upper and lower case being the same."""
    for choice in choices:
        if choice.casefold() == text.casefold():
            return choice
    message = f"not known; use one of {', '.join(choices)}"
    raise MalformedValueError(message)


def parse_text(setting: Setting, text: str) -> str | bool | int | float:
    """The value that *text* (of a flag or a variable) stands for; for STRINGS, of one element."""
    if setting.choices:
        return parse_choice(text, setting.choices)
    parser: Callable[[str], str | bool | int | float] = _PARSERS[setting.type]
    return parser(text)


def parse_toml(setting: Setting, value: object) -> object:
    """The value that a settings file's *value*, already typed by TOML, stands for."""
    match setting.type, value:
        case Type.BOOLEAN, bool():
            return value
        case Type.INTEGER, int() if not isinstance(value, bool):
            return value
        case Type.STRINGS, list() if all(isinstance(item, str) for item in value):
            return tuple(parse_text(setting, item) for item in value)
        case ((Type.STRING | Type.DURATION), str()):
            return parse_text(setting, value)
    message = f"not {_TOML_FORM[setting.type]}"
    raise MalformedValueError(message)


_PARSERS: Final[Mapping[Type, Callable[[str], str | bool | int | float]]] = {
    Type.STRING: str,
    Type.STRINGS: str,
    Type.BOOLEAN: parse_boolean,
    Type.INTEGER: parse_integer,
    Type.DURATION: parse_duration,
}

_TOML_FORM: Final[Mapping[Type, str]] = {
    Type.STRING: 'a string; write it in quotes, such as "text"',
    Type.STRINGS: 'a list of strings; write it as ["one", "two"]',
    Type.BOOLEAN: "a boolean; write true or false, without quotes",
    Type.INTEGER: "an integer; write it without quotes, such as 8500",
    Type.DURATION: 'a duration; write it in quotes with its unit, such as "30s"',
}
