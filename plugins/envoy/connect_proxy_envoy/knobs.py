"""Reading the opaque ``Proxy.Config`` of a registration, weakly typed as Consul reads it.

Numbers, booleans and text stand in for each other. What cannot be read is a ConfigurationError that
names the key; :class:`Knobs` is where all of them come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.immutable import thawed

_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_MILLISECONDS: Final = {
    "ns": 1e-6,
    "us": 1e-3,
    "µs": 1e-3,
    "ms": 1.0,
    "s": 1e3,
    "m": 6e4,
    "h": 3.6e6,
}


class Knobs:
    """Typed access to an opaque configuration. *where* names it in errors (``Proxy.Config``)."""

    def __init__(self, config: Mapping[str, Any], *, where: str) -> None:
        self._config = config
        self._where = where

    def text(self, key: str, default: str = "") -> str:
        """A string; numbers as written in JSON, booleans as ``1`` and ``0`` (Consul's weak decoding)."""
        value = self._config.get(key)
        match value:
            case None:
                return default
            case str():
                return value
            case bool():
                return "1" if value else "0"
            case int() | float():
                return json.dumps(value)
        raise self.error(key, value, "a string")

    def integer(self, key: str, default: int) -> int:
        """A whole number, also as text (``"5000"``)."""
        value = self._config.get(key)
        match value:
            case None | "":
                return default
            case bool() | int():
                return int(value)
            case float() if value.is_integer():
                return int(value)
            case str():
                try:
                    return int(value, 0)
                except ValueError:
                    pass
        raise self.error(key, value, "a whole number")

    def duration_ms(self, key: str) -> int | None:
        """Milliseconds of a Go duration (``"1m30s"``) or a number of nanoseconds; None if unset."""
        value = self._config.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            parts = _DURATION_PART.findall(value)
            if parts and "".join(number + unit for number, unit in parts) == value:
                return round(sum(float(number) * _MILLISECONDS[unit] for number, unit in parts))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return round(value / 1_000_000)
        raise self.error(key, value, "a duration like 10s")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; a single value stands for a list of one."""
        value = self._config.get(key)
        if value is None or value == "":
            return ()
        items = value if isinstance(value, list | tuple) else (value,)
        if not all(isinstance(item, str | int | float) for item in items):
            raise self.error(key, value, "a list of strings")
        return tuple(str(item) for item in items)

    def mapping(self, key: str) -> Knobs | None:
        """A nested object; None where it is not set."""
        value = self._config.get(key)
        if value is None:
            return None
        if isinstance(value, Mapping):
            return Knobs(value, where=f"{self._where}.{key}")
        raise self.error(key, value, "an object")

    def json_object(self, key: str) -> dict[str, Any] | None:
        """A JSON object, given as text (or, more kindly than Consul, as an object); None if unset."""
        value = self._config.get(key)
        if isinstance(value, Mapping):
            copy: dict[str, Any] = thawed(value)
            return copy
        text = self.text(key).strip()
        if not text:
            return None
        parsed = self._parsed(key, text, text)
        if not isinstance(parsed, dict):
            raise self.error(key, text, "a JSON object")
        return parsed

    def message(self, key: str, type_url: str) -> dict[str, Any] | None:
        """An escape hatch: a whole named message as proto-JSON with its ``@type``; None if unset."""
        body = self.json_object(key)
        if body is None:
            return None
        if body.get("@type") != type_url or not isinstance(body.get("name"), str) or not body["name"]:
            raise self.error(key, body.get("@type"), f"a message with a name and the @type {type_url!r}")
        return body

    def json_objects(self, key: str) -> list[dict[str, Any]]:
        """JSON objects separated by commas, without brackets around them."""
        text = self.text(key).strip()
        parsed = self._parsed(key, text, f"[{text}]") if text else []
        if not all(isinstance(item, dict) for item in parsed):
            raise self.error(key, text, "JSON objects separated by commas")
        return list(parsed)

    def error(self, key: str, value: object, wanted: str) -> ConfigurationError:
        """The error to raise for *key*."""
        shown = repr(value)
        shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
        return ConfigurationError(
            f"{self._where}.{key} of the registration is not {wanted}: {shown}; correct it"
        )

    def _parsed(self, key: str, text: str, document: str) -> Any:
        try:
            return json.loads(document)
        except json.JSONDecodeError as exc:
            raise self.error(key, text, f"valid JSON ({exc.msg})") from exc
