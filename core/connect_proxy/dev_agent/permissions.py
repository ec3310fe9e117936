"""L7 permissions of intentions, as ``PUT /v1/connect/intentions/exact`` of Consul 1.9 takes them.

The embedded agent keeps and shows them; connections, which is all that it decides itself, are denied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connect_proxy.dev_agent.decoding import Struct, boolean, list_of, text

_COMPARISONS: Final = ("Present", "Exact", "Prefix", "Suffix", "Contains", "Regex")
_PATHS: Final = ("PathExact", "PathPrefix", "PathRegex")
_HEADER: Final = Struct(
    {"Name": text, "Present": boolean}
    | dict.fromkeys(("Exact", "Prefix", "Suffix", "Contains", "Regex"), text)
    | {"IgnoreCase": boolean, "Invert": boolean}
)
_HTTP: Final = Struct(dict.fromkeys(_PATHS, text) | {"Header": list_of(_HEADER), "Methods": list_of(text)})
PERMISSIONS: Final = list_of(Struct({"Action": text, "HTTP": _HTTP}))

_METHOD: Final = re.compile(r"[A-Z]+")


def shown(permissions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As Consul's JSON has them: what is empty is left out."""
    return [_without_empty(permission) for permission in permissions]


def complaints(permissions: Sequence[Mapping[str, Any]], *, action: str, destination: str) -> Iterator[str]:
    """What is wrong with an intention's *permissions*, in words close to Consul's."""
    if action:
        yield "Action must be omitted if Permissions are specified"
    if destination == "*":
        yield "Permissions cannot be specified on intentions with wildcarded destinations"
    for number, permission in enumerate(permissions):
        where = f"Permissions[{number}]"
        if permission.get("Action") not in {"allow", "deny"}:
            yield f"{where}.Action must be set to 'allow' or 'deny'"
        http = _without_empty(permission.get("HTTP", {}))
        if not http:
            yield f"{where}.HTTP must be set"
        yield from (f"{where}.HTTP.{what}" for what in _http_complaints(http))


def _http_complaints(http: Mapping[str, Any]) -> Iterator[str]:
    if sum(name in http for name in _PATHS) > 1:
        yield "PathExact, PathPrefix and PathRegex: only one of them may be set"
    for name in ("PathExact", "PathPrefix"):
        if name in http and not http[name].startswith("/"):
            yield f"{name} doesn't start with '/': {http[name]!r}"
    if not _is_expression(http.get("PathRegex", "")):
        yield f"PathRegex is no regular expression: {http['PathRegex']!r}"
    for number, header in enumerate(http.get("Header", ())):
        yield from (f"Header[{number}]{what}" for what in _header_complaints(header))
    methods = http.get("Methods", ())
    for method in methods:
        if not _METHOD.fullmatch(method):
            yield f"Methods contains an invalid method {method!r}"
    if len(set(methods)) < len(methods):
        yield "Methods contains the same method twice"


def _header_complaints(header: Mapping[str, Any]) -> Iterator[str]:
    if not header.get("Name"):
        yield ".Name is required"
    if sum(name in header for name in _COMPARISONS) != 1:
        yield f": exactly one of {', '.join(_COMPARISONS)} has to be set"
    if not _is_expression(header.get("Regex", "")):
        yield f".Regex is no regular expression: {header['Regex']!r}"


def _is_expression(text: str) -> bool:
    """By Python's rules, which are close enough to those of RE2 to find a slip."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ("", False, [], {}, None)}
    if isinstance(value, list | tuple):
        return [_without_empty(item) for item in value]
    return value
