"""The words inside of ``{{ }}`` and how they are evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import ConfigurationError

FUNCTIONS: Final = frozenset({"not", "and", "or", "eq", "ne"})
_WORD: Final = re.compile(
    r"""\s*(?:(?P<path>\$?[A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+|\$[A-Za-z_0-9]*|\.)
        |(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)
        |(?P<mark>[()]|:=|,|\|))""",
    re.VERBOSE,
)


class RawJson(str):
    """Text that is JSON already: put in as it is. Everything else is escaped for a JSON string."""

    __slots__ = ()


Value = str | bool | int | Sequence["Value"] | Mapping[str, "Value"]
Scope = Mapping[str, Value]
"""Variables by name: ``$`` is the whole of the fields, ``.`` what a loop is at."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its kind is a group of the expression above."""

    kind: str
    text: str


def split_words(action: str) -> list[Word]:
    """The words of one action. Raises ConfigurationError for what is none."""
    words, at, stripped = [], 0, action.rstrip()
    while at < len(stripped):
        match = _WORD.match(stripped, at)
        if match is None:
            raise template_error(what=f"cannot be read at {stripped[at:]!r} in {action.strip()!r}")
        assert match.lastgroup is not None
        words.append(Word(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return words


def evaluate(words: Sequence[Word], scope: Scope) -> Value:
    """The value of an expression: an operand, or a function with operands."""
    if not words:
        raise template_error(what="has an empty expression")
    if words[0].kind != "name" or words[0].text in {"true", "false"}:
        value, rest = _operand(words, scope)
        if rest:
            raise template_error(what=f"uses {rest[0].text!r} after a value, which is not supported")
        return value
    function = words[0].text
    if function not in FUNCTIONS:
        known = ", ".join(sorted(FUNCTIONS))
        raise template_error(what=f"uses the function {function!r}; supported are {known}")
    operands, rest = [], words[1:]
    while rest:
        value, rest = _operand(rest, scope)
        operands.append(value)
    return _apply(function, operands)


def is_true(value: Value) -> bool:
    """Go's truth: not false, not 0, not empty."""
    return bool(value)


def _operand(words: Sequence[Word], scope: Scope) -> tuple[Value, Sequence[Word]]:
    """The first operand's value, and the words after it."""
    first = words[0]
    match first.kind:
        case "path":
            return _looked_up(first.text, scope), words[1:]
        case "text":
            return _unquoted(first.text), words[1:]
        case "number":
            return int(first.text), words[1:]
        case "name" if first.text in {"true", "false"}:
            return first.text == "true", words[1:]
        case "mark" if first.text == "(":
            end = _closing(words)
            return evaluate(words[1:end], scope), words[end + 1 :]
    raise template_error(what=f"uses {first.text!r}, which is not supported there")


def _closing(words: Sequence[Word]) -> int:
    depth = 0
    for position, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word.text, 0) if word.kind == "mark" else 0
        if depth == 0:
            return position
    raise template_error(what="has an open parenthesis")


def _looked_up(path: str, scope: Scope) -> Value:
    """``.Field``, ``.GRPC.AgentPort``, ``.``, ``$``, ``$name``, ``$name.Field``."""
    head, _, rest = path.partition(".")
    name = head or "."
    if name not in scope:
        raise template_error(what=f"uses the variable {name!r}, which is not set")
    value = scope[name]
    for field in filter(None, rest.split(".")):
        if not isinstance(value, Mapping) or field not in value:
            raise template_error(what=f"uses the field {path!r}, which is not there")
        value = value[field]
    return value


def _unquoted(text: str) -> str:
    return text[1:-1] if text.startswith("`") else re.sub(r"\\(.)", r"\1", text[1:-1])


def _apply(function: str, operands: Sequence[Value]) -> Value:
    least = {"not": 1, "eq": 2, "ne": 2}.get(function, 1)
    most = {"not": 1, "ne": 2}.get(function, len(operands))
    if not least <= len(operands) <= most:
        given = "1 value" if len(operands) == 1 else f"{len(operands)} values"
        raise template_error(what=f"gives {function!r} {given}")
    match function:
        case "not":
            return not is_true(operands[0])
        case "eq":
            return any(operands[0] == other for other in operands[1:])
        case "ne":
            return operands[0] != operands[1]
        case "and":
            return next((value for value in operands if not is_true(value)), operands[-1])
    return next((value for value in operands if is_true(value)), operands[-1])


def template_error(*, what: str) -> ConfigurationError:
    """The template is at fault: says how."""
    return ConfigurationError(
        f"Proxy.Config.envoy_bootstrap_json_tpl of the registration {what}; correct it"
    )
