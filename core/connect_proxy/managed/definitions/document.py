"""A file's content before it means anything: tables, lists and scalars that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from connect_proxy.errors import MalformedDocumentError
from connect_proxy.managed.definitions.scalars import Scalar


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned:
    """What one key is given once, before it is known what it has been given already."""

    key: str
    place: Place
    value: Scalar | list[Value] | Table


def joined(items: Iterable[Assigned]) -> dict[str, Field]:
    """The fields of one HCL table. Of several scalars the last counts, as one of the first one's kind;
    tables and lists are appended.

    Raises MalformedDocumentError where a key has values of two kinds.
    """
    fields: dict[str, Field] = {}
    grown: dict[str, list[Value]] = {}
    for item in items:
        before = fields.get(item.key)
        if before is None:
            value = item.value.value() if isinstance(item.value, Scalar) else item.value
            fields[item.key] = Field(value=value, place=item.place)
        elif isinstance(item.value, Scalar):
            again = None
            if not isinstance(before.value, Table | list):
                again = item.value.value_after(before.value)
            if again is None:
                raise _two_kinds(item, before)
            fields[item.key] = Field(value=again, place=item.place)
        elif not _appends(before.value, item.value):
            raise _two_kinds(item, before)
        else:
            grown.setdefault(item.key, list(_several(before.value))).extend(_several(item.value))
    return fields | {key: Field(value=both, place=fields[key].place) for key, both in grown.items()}


def _appends(first: Value, more: list[Value] | Table) -> bool:
    """Whether HCL appends *more* to what began with *first*: to a block other blocks alone, all of them
    with a label or none; to a list anything but a block with a label."""
    if isinstance(more, Table) and more.label:
        return isinstance(first, Table) and first.label
    if isinstance(first, Table):
        return not first.label and all(isinstance(one, Table) for one in _several(more))
    return isinstance(first, list)


def _two_kinds(item: Assigned, before: Field) -> MalformedDocumentError:
    now = item.value.spelling.value if isinstance(item.value, Scalar) else _shape(item.value)
    message = (
        f'"{item.key}" stands more than once with values of two kinds: {now} here,'
        f" {_shape(before.value)} in line {before.place.line}; keep one"
    )
    return MalformedDocumentError(message, line=item.place.line, column=item.place.column)


def _shape(value: Value) -> str:
    return "a block with a label" if isinstance(value, Table) and value.label else kind_of(value)


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
