"""JSON request bodies, read as strictly as Consul reads them.

Consul decodes into Go structs: keys match in any letter case, unknown keys and wrong types are
errors, ``null`` means "not given", what follows the first value is ignored. Service and check
definitions also take ``snake_case`` keys. A :class:`Struct` lists the keys of one such struct.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from connect_proxy.dev_agent.go_duration import NotADurationError, parse_duration

_LARGEST_INT: Final = 2**63 - 1
Kind: TypeAlias = Callable[[Any, str], Any]


class DecodeError(ValueError):
    """The body is not what the endpoint takes. The message is worded as Go's JSON package words it."""


def read_json(body: bytes) -> Any:
    """The first JSON value in *body*."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        message = "EOF"
        raise DecodeError(message)
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_constant).raw_decode(text)
    except json.JSONDecodeError as exc:
        raise DecodeError(_syntax_complaint(text, exc)) from exc
    except RecursionError as exc:
        message = "exceeded max depth"
        raise DecodeError(message) from exc
    except DecodeError:
        raise
    except ValueError as exc:
        # A number with thousands of digits, which Python refuses to convert.
        message = "json: cannot unmarshal number into Go value of type int"
        raise DecodeError(message) from exc
    return value


class Struct:
    """One Go struct: its keys (CamelCase) and their kinds. Decodes to a dict of the keys given.

    *snake*: snake_case spellings are taken too, but for those of *camel_only*.
    """

    def __init__(
        self, fields: Mapping[str, Kind], *, snake: bool = False, camel_only: Sequence[str] = ()
    ) -> None:
        self._accepted = {name.lower(): (name, kind) for name, kind in fields.items()}
        if snake:
            self._accepted |= {
                snake_case(name): (name, kind) for name, kind in fields.items() if name not in camel_only
            }

    def __call__(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "struct")
        decoded: dict[str, Any] = {}
        for key, item in value.items():
            known = self._accepted.get(key.lower())
            if known is None:
                message = f'json: unknown field "{key}"'
                raise DecodeError(message)
            name, kind = known
            if item is not None:
                decoded[name] = kind(item, name)
        return decoded


def decode_body(body: bytes, struct: Struct) -> dict[str, Any]:
    """*body* as *struct*. ``null`` is an empty object, as in Go."""
    value = read_json(body)
    try:
        return {} if value is None else struct(value, "")
    except RecursionError as exc:  # a sidecar in a sidecar in a sidecar …
        message = "exceeded max depth"
        raise DecodeError(message) from exc


def text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, path, "string")
    # Half a surrogate pair is no character: Go puts U+FFFD in its place.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST_INT:
        raise _wrong_type(value, path, "int")
    return value


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, path, "bool")
    return value


def opaque(value: Any, path: str) -> dict[str, Any]:
    """An object whose content is the business of somebody else."""
    if not isinstance(value, dict):
        raise _wrong_type(value, path, "map[string]interface {}")
    return value


def duration(value: Any, path: str) -> int:
    """Nanoseconds: a Go duration text, or a number of nanoseconds."""
    if isinstance(value, str):
        try:
            return parse_duration(value) if value else 0
        except NotADurationError as exc:
            raise DecodeError(str(exc)) from exc
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST_INT:
        raise _wrong_type(value, path, "time.Duration")
    return int(value)


def list_of(kind: Kind) -> Kind:
    def decode(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(value, path, "[]string")
        return [kind(item, path) for item in value if item is not None]

    return decode


def map_of(kind: Kind) -> Kind:
    def decode(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "map[string]string")
        return {key: kind(item, path) for key, item in value.items() if item is not None}

    return decode


def snake_case(name: str) -> str:
    """``DestinationServiceID`` -> ``destination_service_id``, ``TLSSkipVerify`` -> ``tls_skip_verify``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _no_constant(name: str) -> NoReturn:
    """``NaN`` and ``Infinity`` are no JSON, though Python reads them."""
    message = f"invalid character {name[0]!r} looking for beginning of value"
    raise DecodeError(message)


def _wrong_type(value: Any, path: str, wanted: str) -> DecodeError:
    given = {bool: "bool", str: "string", int: "number", list: "array", dict: "object"}
    kind = given.get(type(value), "number")
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > _LARGEST_INT):
        kind = f"number {value}"
    where = f"Go struct field .{path}" if path else "Go value"
    return DecodeError(f"json: cannot unmarshal {kind} into {where} of type {wanted}")


def _syntax_complaint(text: str, exc: json.JSONDecodeError) -> str:
    if exc.pos >= len(text.rstrip()) or exc.msg.startswith("Unterminated"):
        return "unexpected EOF"
    return f"invalid character {text[exc.pos]!r} looking for beginning of value"
