"""Tables of keys, and reading a :class:`Table` by them. Pure.

A key is taken in any letter case, with or without underscores (``LocalBindPort``,
``local_bind_port``). Every problem is noted, with file, line and key, and reading goes on, so that a
user sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from connect_proxy.errors import MalformedValueError
from connect_proxy.managed.definitions.configuration import Origin
from connect_proxy.managed.definitions.document import Field, Place, Table, Value, is_scalar, kind_of
from connect_proxy.settings.parsing import FALSE, TRUE, parse_duration
from connect_proxy.settings.suggestion import suggestion


class _Missing:
    """What a kind gives where the value was wrong: the problem is noted already."""


MISSING: Final = _Missing()


@dataclass(kw_only=True)
class Reading:
    """One file being read: what was found wrong, and what means nothing here."""

    file: str
    problems: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    """Known keys of Consul without a meaning here, with their line."""
    warnings: list[str] = field(default_factory=list)

    def origin(self, place: Place) -> Origin:
        """*place* in this file."""
        return Origin(file=self.file, line=place.line, column=place.column)

    def problem(self, place: Place, message: str) -> None:
        """Note that something at *place* is wrong."""
        self.problems.append(f"{self.origin(place)}: {message}")

    def warning(self, place: Place, message: str) -> None:
        """Note that something at *place* is odd."""
        self.warnings.append(f"{self.origin(place)}: {message}")

    def wrong(self, found: Field, path: str, wanted: str) -> _Missing:
        """Note that the value of *path* is none of its kind."""
        shown = f' "{found.value}"' if isinstance(found.value, str) and len(found.value) <= 60 else ""
        self.problem(found.place, f'"{path}" is {kind_of(found.value)}{shown}; give {wanted}')
        return MISSING


Kind: TypeAlias = Callable[[Reading, Field, str], Any]
"""Turns what stands behind a key, whose path is the third argument, into its value, or MISSING."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key of a table."""

    name: str
    """As Consul's files have it: snake_case."""
    target: str
    """As its HTTP API has it: CamelCase."""
    kind: Kind


class Keys:
    """The keys of one kind of block, and those that are known and mean nothing here."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        *,
        camel: Mapping[str, str] | None = None,
        unused: Iterable[str] = (),
    ) -> None:
        special = camel or {}
        keys = [
            Key(name=name, target=special.get(name) or camel_case(name), kind=kind)
            for name, kind in kinds.items()
        ]
        self._keys = {canonical(key.name): key for key in keys}
        self._unused = frozenset(map(canonical, unused))
        self.names = tuple(sorted(kinds))

    def __call__(self, reading: Reading, found: Field, path: str) -> Any:
        """As a kind: one block, its values by CamelCase key."""
        table = single_table(reading, found, path)
        if isinstance(table, _Missing):
            return MISSING
        if table.label:
            block, label = path.rpartition(".")[2], next(iter(table.fields))
            reading.problem(found.place, f'"{path}" takes no label; write {block} {{ name = "{label}" … }}')
            return MISSING
        return self.read(reading, table, path)

    def read(self, reading: Reading, table: Table, path: str = "") -> dict[str, Any]:
        """The values of *table* by CamelCase key; null counts as not given."""
        values: dict[str, Any] = {}
        for name, found in table.fields.items():
            inner = f"{path}.{name}" if path else name
            key = self._keys.get(canonical(name))
            if key is None:
                self._stranger(reading, found, name, path)
            elif found.value is not None:
                value = key.kind(reading, found, inner)
                if value is not MISSING:
                    values[key.target] = value
        return values

    def _stranger(self, reading: Reading, found: Field, name: str, path: str) -> None:
        where = f' in "{path}"' if path else ""
        if canonical(name) in self._unused:
            reading.unused.append(
                f'"{f"{path}.{name}" if path else name}" ({reading.file}:{found.place.line})'
            )
            return
        near = suggestion(name, self.names)
        hint = f'; did you mean "{near}"?' if near else ""
        known = ", ".join(self.names)
        reading.problem(found.place, f'unknown key "{name}"{where}{hint} (known: {known})')


def canonical(name: str) -> str:
    """What all spellings of a key have in common."""
    return name.lower().replace("_", "")


_WORDS: Final = {
    "id": "ID",
    "tcp": "TCP",
    "udp": "UDP",
    "http": "HTTP",
    "grpc": "GRPC",
    "tls": "TLS",
    "ttl": "TTL",
    "os": "OS",
    "h2ping": "H2PING",
}


def camel_case(name: str) -> str:
    """``local_bind_port`` as Consul's API writes it: ``LocalBindPort``."""
    return "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))


def single_table(reading: Reading, found: Field, path: str) -> Table | _Missing:
    """The one block behind *path*; a list of one block is that block."""
    match found.value:
        case Table() as table:
            return table
        case [Table() as table]:
            return table
        case [Table(), Table() as second, *_]:
            reading.problem(
                second.place, f'"{path}" stands more than once (first in line {found.place.line}); keep one'
            )
            return MISSING
    return reading.wrong(found, path, f"a block: {path.rpartition('.')[2]} {{ … }}")


def text(reading: Reading, found: Field, path: str) -> Any:
    """A string; as in Consul, a list of one string is that string."""
    value = only(found.value)
    return value if isinstance(value, str) else reading.wrong(found, path, 'a string, such as "x"')


def integer(reading: Reading, found: Field, path: str) -> Any:
    """A whole number, or a string that is one (``"8080"``)."""
    value = only(found.value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value, 10)
        except ValueError:
            pass
    return reading.wrong(found, path, "a whole number, such as 8080")


def boolean(reading: Reading, found: Field, path: str) -> Any:
    """true or false, or a string that is one."""
    value = only(found.value)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in TRUE + FALSE:
        return value in TRUE
    return reading.wrong(found, path, "true or false")


def duration(reading: Reading, found: Field, path: str) -> Any:
    """A string that is a duration of Go; it is kept as it stands."""
    value = only(found.value)
    if not isinstance(value, str):
        return reading.wrong(found, path, 'a duration in quotes, such as "10s"')
    try:
        parse_duration(value)
    except MalformedValueError as exc:
        reading.problem(found.place, f'"{path}": "{value}" is {exc}')
        return MISSING
    return value


def opaque(reading: Reading, found: Field, path: str) -> Any:
    """A block whose keys are somebody else's: as plain dicts, lists and scalars."""
    table = single_table(reading, found, path)
    return table if isinstance(table, _Missing) else table.plain()


def list_of(kind: Kind) -> Kind:
    """A list, or (for blocks) the block repeated, or one of it."""

    def read(reading: Reading, found: Field, path: str) -> Any:
        if not isinstance(found.value, list | Table):
            return reading.wrong(found, path, 'a list, such as ["x"]')
        items = [kind(reading, item, f"{path}[{index}]") for index, item in enumerate(several(found))]
        return MISSING if MISSING in items else items

    return read


def map_of(kind: Kind) -> Kind:
    """A block with keys of the user's own, all of one kind."""

    def read(reading: Reading, found: Field, path: str) -> Any:
        table = single_table(reading, found, path)
        if isinstance(table, _Missing):
            return MISSING
        values = {name: kind(reading, item, f"{path}.{name}") for name, item in table.fields.items()}
        return MISSING if MISSING in values.values() else values

    return read


def several(found: Field) -> list[Field]:
    """The items of a list, or the one value. A scalar in a list has the place of the list."""
    if not isinstance(found.value, list):
        return [found]
    return [
        Field(value=item, place=item.place if isinstance(item, Table) else found.place)
        for item in found.value
    ]


def only(value: Value) -> Value:
    """What a list of one holds, at any depth; every other value as it is. Consul reads scalars so."""
    inner = value
    while isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    return inner if is_scalar(inner) else value
