"""Frozen dataclasses as JSON, by their type hints. Secrets are left out: they come back empty.

Strict both ways: what a hint does not allow is an error, and so is a field that is unknown or missing.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from connect_proxy.mesh.immutable import EMPTY, frozen, thawed
from connect_proxy.secret import NO_SECRET, Secret


def encoded(value: Any) -> Any:
    """*value* as ``json.dumps`` takes it."""
    if dataclasses.is_dataclass(value):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: encoded(item) for name, item in fields if not isinstance(item, Secret)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encoded(item) for item in value]
    return thawed(value)


def decoded(kind: Any, value: Any, where: str = "") -> Any:
    """The opposite: *value* as *kind*, a type hint. Raises ValueError naming *where* it does not fit."""
    arguments = typing.get_args(kind)
    if kind is Any:
        return frozen(value)
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        return None if value is None else decoded(arguments[0], value, where)
    if arguments:
        return _decoded_items(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _decoded_fields(kind, _checked(dict, value, where), where)
    if kind is datetime:
        moment = datetime.fromisoformat(_checked(str, value, where))
        return _checked(datetime, moment if moment.tzinfo else None, where)
    return _checked(kind, value, where)


def _decoded_items(kind: Any, value: Any, where: str) -> Any:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        items = _checked(list, value, where)
        return tuple(decoded(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(items))
    pairs = _checked(dict, value, where).items()
    found = {key: decoded(arguments[1], item, f"{where}.{key}") for key, item in pairs}
    return types.MappingProxyType(found) if found else EMPTY


def _decoded_fields(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = _hints(kind)
    wanted = {name for name, hint in hints.items() if hint is not Secret}
    if wrong := wanted ^ value.keys():
        message = f"{where or 'it'}: unknown or missing: {', '.join(sorted(wrong))}"
        raise ValueError(message)
    fields = {name: decoded(hints[name], value[name], f"{where}.{name}") for name in sorted(wanted)}
    return kind(**fields, **dict.fromkeys(hints.keys() - wanted, NO_SECRET))


def _checked(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        message = f"{where or 'it'}: not {'a moment' if kind is datetime else kind.__name__}: {value!r}"
        raise ValueError(message)
    return value


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
