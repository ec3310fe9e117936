"""Reading a JSON object of the agent: tolerant of spelling and types, strict about shape.

Consul's own clients decode weakly: missing keys and nulls are zero values, numbers may come as
text. Keys are compared without case and underscores, so that ``LocalBindPort`` and
``local_bind_port`` are the same. What cannot be meant (a list where an object belongs) is an
AgentAnswerError that names the endpoint and the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from connect_proxy.errors import AgentAnswerError
from connect_proxy.mesh.immutable import EMPTY, frozen

EXCERPT_LENGTH: Final = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an answer a value stands."""

    endpoint: str
    """``GET /v1/agent/service/web``."""
    path: str = ""
    """``Proxy.Upstreams[0]``; empty: the whole body."""

    def key(self, name: str) -> Place:
        """The value under *name* in the object here."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def item(self, position: int) -> Place:
        """The value at *position* in the list here."""
        return replace(self, path=f"{self.path}[{position}]")

    def refuse(self, value: Any, wanted: str) -> NoReturn:
        """Raise the AgentAnswerError of a *value* that is not what is *wanted*.

        Of an object or a list only the kind is told, never the content: it may hold a key.
        """
        if isinstance(value, Mapping | list):
            found = "an object" if isinstance(value, Mapping) else "a list"
        else:
            found = f"'{str(value)[:EXCERPT_LENGTH]}'"
        inside = f" has at '{self.path}'" if self.path else " is"
        message = (
            f"the answer to {self.endpoint}{inside} {found}, not {wanted}: "
            "check that the address is that of a Consul agent"
        )
        raise AgentAnswerError(message)


class Fields:
    """The fields of one JSON object."""

    def __init__(self, value: Any, place: Place) -> None:
        """Null is an object without fields."""
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            place.refuse(value, "an object")
        self.place = place
        self.by_name: Mapping[str, Any] = value
        """The object with the agent's spelling, for objects whose keys are names."""
        self._by_key = {_plain(str(key)): item for key, item in value.items()}

    def text(self, name: str, default: str = "") -> str:
        """The text at *name*; *default* if it is missing, null or empty."""
        value = self._at(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value or default
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self.place.key(name).refuse(value, "a text")

    def number(self, name: str, default: int = 0) -> int:
        """The whole number at *name*: also as text and as a float without a fraction."""
        value = self._at(name)
        if value is None or value == "":
            return default
        try:
            number = int(value)
            whole = number == float(value) and not isinstance(value, bool)
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            self.place.key(name).refuse(value, "a whole number")
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        """The boolean at *name*."""
        value = self._at(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        self.place.key(name).refuse(value, "true or false")

    def moment(self, name: str) -> datetime:
        """The RFC 3339 time at *name*, with a zone."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.place.key(name).refuse(text, "an RFC 3339 time")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def section(self, name: str) -> Fields:
        """The object at *name*; an empty one if it is missing or null."""
        return Fields(self._at(name), self.place.key(name))

    def sections(self, name: str) -> list[Fields]:
        """The list of objects at *name*; empty if it is missing or null."""
        return sections(self._at(name), self.place.key(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of texts at *name*; empty if it is missing or null."""
        value = self._at(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.place.key(name).refuse(value, "a list of texts")
        return tuple(value)

    def opaque(self, name: str) -> Mapping[str, Any]:
        """The object at *name* with its keys as they are, deeply read-only."""
        value = self._at(name)
        if value is None:
            return EMPTY
        if not isinstance(value, Mapping):
            self.place.key(name).refuse(value, "an object")
        copy: Mapping[str, Any] = frozen(value) if value else EMPTY
        return copy

    def has(self, name: str) -> bool:
        """Whether *name* is there and neither null nor empty."""
        return bool(self._at(name))

    def others(self, *names: str) -> tuple[str, ...]:
        """The keys beside *names* that hold something, as the agent spells them."""
        known = {_plain(name) for name in names}
        return tuple(
            str(key) for key, value in self.by_name.items() if value and _plain(str(key)) not in known
        )

    def _at(self, name: str) -> Any:
        return self._by_key.get(_plain(name))


def sections(value: Any, place: Place) -> list[Fields]:
    """The objects of a list; null is an empty list."""
    if value is None:
        return []
    if not isinstance(value, list):
        place.refuse(value, "a list")
    return [Fields(item, place.item(position)) for position, item in enumerate(value)]


def _plain(key: str) -> str:
    return key.replace("_", "").lower()
