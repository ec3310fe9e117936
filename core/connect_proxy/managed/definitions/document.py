"""A file's content before it means anything: tables, lists and scalars that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from connect_proxy.errors import MalformedDocumentError


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Line and column, both from 1; a column counts characters."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """``{ … }``: what each key says. Repeated keys are joined as HCL joins them."""

    fields: Mapping[str, Field]
    place: Place
    label: bool = False
    """Made from the second key of ``service "web" { … }``, not from a key inside of braces."""

    def plain(self) -> dict[str, Any]:
        """The same as plain dicts and lists, without the places."""
        return {key: plain(field.value) for key, field in self.fields.items()}


Value: TypeAlias = "str | bool | int | float | list[Value] | Table | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What stands behind one key."""

    value: Value
    place: Place


def plain(value: Value) -> Any:
    """*value* as plain dicts, lists and scalars."""
    match value:
        case Table():
            return value.plain()
        case list():
            return [plain(item) for item in value]
    return value


def joined(items: Iterable[tuple[str, Field]]) -> dict[str, Field]:
    """The fields of one HCL table. The last of several scalars wins; tables and lists are appended.

    Raises MalformedDocumentError where a key is a scalar once and a table or a list another time.
    """
    fields: dict[str, Field] = {}
    grown: dict[str, list[Value]] = {}
    for key, field in items:
        before = fields.get(key)
        if before is None or (is_scalar(before.value) and is_scalar(field.value)):
            fields[key] = field
        elif is_scalar(before.value) or is_scalar(field.value):
            message = f'"{key}" has one value here and another kind of value in line {before.place.line}'
            raise MalformedDocumentError(message, line=field.place.line, column=field.place.column)
        else:
            grown.setdefault(key, list(_several(before.value))).extend(_several(field.value))
    return fields | {key: Field(value=both, place=fields[key].place) for key, both in grown.items()}


def is_scalar(value: Value) -> bool:
    """Whether *value* is neither a table nor a list."""
    return not isinstance(value, Table | list)


def kind_of(value: Value) -> str:
    """What *value* is, for messages."""
    match value:
        case Table():
            return "a block"
        case list():
            return "a list"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case None:
            return "null"
    return "a number"


def _several(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]
