"""Precedence: flag over variable over settings file over default. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from connect_proxy.errors import ConfigurationError, MalformedValueError, UsageError
from connect_proxy.secret import MASK
from connect_proxy.settings.address import displayed_address
from connect_proxy.settings.parsing import parse_text, parse_toml
from connect_proxy.settings.setting import Setting, Source, Sourced, Type
from connect_proxy.settings.sources import Layer


@dataclass(frozen=True, slots=True, repr=False)
class ResolvedSettings:
    """One value for each setting, and where it came from. Not shown: some are secret."""

    values: Mapping[str, Sourced]

    def text(self, name: str) -> str:
        """A string setting's value."""
        return cast("str", self.values[name].value)

    def boolean(self, name: str) -> bool:
        """A boolean setting's value."""
        return cast("bool", self.values[name].value)

    def seconds(self, name: str) -> float:
        """A duration's value."""
        return cast("float", self.values[name].value)

    def integer(self, name: str) -> int:
        """An integer setting's value."""
        return cast("int", self.values[name].value)

    def source(self, name: str) -> Source:
        """Which layer said it."""
        return self.values[name].source

    def origin(self, name: str) -> str:
        """The flag, the variable, or the key and file that said it."""
        return self.values[name].origin

    def only(self, rows: Sequence[Setting]) -> Mapping[str, Sourced]:
        """The values of *rows* alone: a backend's own."""
        return {row.name: self.values[row.name] for row in rows}


def resolve(rows: Sequence[Setting], layers: Sequence[Layer]) -> ResolvedSettings:
    """The value of each of *rows*: from the last of *layers* that has one.

    The first layer has to hold every row (the defaults). What a lower layer says is not even parsed.
    Raises UsageError for a flag's malformed value, else ConfigurationError; both name the origin.
    """
    values = {}
    for row in rows:
        said = next(layer[row.name] for layer in reversed(layers) if row.name in layer)
        values[row.name] = Sourced(parsed(row, said), said.source, said.origin)
    return ResolvedSettings(values)


def parsed(row: Setting, said: Sourced) -> object:
    """The typed value of what was *said* for *row*."""
    try:
        match said.source, said.value:
            case Source.DEFAULT, value:
                return value
            case Source.FILE, value:
                return parse_toml(row, value)
            case _, str() as text if row.type is Type.STRINGS:
                return tuple(parse_text(row, part.strip()) for part in text.split(",") if part.strip())
            case _, str() as text:
                return parse_text(row, text)
            case _, texts:
                return tuple(parse_text(row, text) for text in cast("Sequence[str]", texts))
    except MalformedValueError as exc:
        raise malformed(row, said, exc) from exc


def malformed(row: Setting, said: Sourced, problem: MalformedValueError) -> ConfigurationError | UsageError:
    """The error for a value that came from somewhere: its origin, itself in quotes, what to do."""
    shown = MASK if row.secret else displayed_address(str(said.value))
    message = f'{said.origin} is "{shown}": {problem}'
    return UsageError(message) if said.source is Source.FLAG else ConfigurationError(message)
