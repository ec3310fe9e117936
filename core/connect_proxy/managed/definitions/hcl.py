"""Text to :class:`Table`: HCL 1 and JSON, by one grammar (``hcl.lark``). Pure.

Lark is imported at the first text, since most commands never read one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from connect_proxy.errors import MalformedDocumentError
from connect_proxy.managed.definitions.document import Assigned, Field, Place, Table, Value, joined
from connect_proxy.managed.definitions.hcl_strings import BadEscapeError, heredoc_value, unquoted
from connect_proxy.managed.definitions.scalars import INTEGER_MAX, INTEGER_MIN, Scalar, Spelling

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedToken

_WORDS: Final = {
    "IDENTIFIER": "a key",
    "STRING": "a string",
    "HEREDOC": "a heredoc",
    "NUMBER": "a number",
    "FLOAT": "a number",
    "BOOLEAN": "true or false",
    "NULL": "null",
    "LBRACE": '"{"',
    "_RBRACE": '"}"',
    "_LBRACKET": '"["',
    "_RBRACKET": '"]"',
    "_COMMA": '","',
    "_EQUAL": '"="',
    "_COLON": '":"',
    "$END": "the end of the file",
}
_VALUE: Final = frozenset({"a string", "a heredoc", "a number", "true or false", "null", '"{"', '"["'})


def parse_hcl(text: str) -> Table:
    """What *text* says in HCL 1. A text whose first character is ``{`` is JSON, as in Consul.

    Raises MalformedDocumentError.
    """
    text = text.replace("\r\n", "\n")
    return parse_json(text) if text.lstrip().startswith("{") else _parsed(text, "hcl")


def parse_json(text: str) -> Table:
    """What *text* says in JSON: an object, null or nothing. Raises MalformedDocumentError."""
    return _parsed(text, "json") if text.strip() else _EMPTY


def _parsed(text: str, language: str) -> Table:
    from lark.exceptions import UnexpectedToken

    try:
        table = _parser(language).parse(text)
    except UnexpectedToken as exc:
        raise _unexpected(exc, text) from exc
    assert isinstance(table, Table)
    return table


_START: Final = Place(line=1, column=1)
_EMPTY: Final = Table(fields={}, place=_START)


@cache
def _parser(language: str) -> Lark:
    from lark import Lark, Transformer, v_args

    from connect_proxy.managed.definitions.hcl_scanner import HclScanner
    from connect_proxy.managed.definitions.json_scanner import JsonScanner

    class Actions(Transformer[Any, Any]):
        """The functions below, under the names of the grammar's rules."""

    for name, action in _ACTIONS.items():
        setattr(Actions, name, staticmethod(action))
    grammar = files(__package__).joinpath("hcl.lark").read_text("utf-8")
    scanner = HclScanner if language == "hcl" else JsonScanner
    actions = v_args(inline=True)(Actions)()
    return Lark(grammar, parser="lalr", lexer=scanner, start=language, transformer=actions)


def _hcl(*items: Assigned) -> Table:
    return Table(fields=joined(items), place=_START)


def _key(token: Token) -> tuple[str, Place]:
    return str(token), place_of(token)


def _quoted_key(token: Token) -> tuple[str, Place]:
    return _string(token), place_of(token)


def _assignment(key: tuple[str, Place], value: Scalar | list[Value] | Table) -> Assigned:
    name, place = key
    # A table that stands behind a key stands where its key does, also as one of several.
    placed = replace(value, place=place) if isinstance(value, Table) else value
    return Assigned(key=name, place=place, value=placed)


def _block(*parts: Any) -> Assigned:
    """``a { … }``, and ``a "b" "c" { … }``, which is ``a { b { c { … } } }``."""
    *keys, table = parts
    for name, place in reversed(keys[1:]):
        table = Table(fields={name: Field(value=table, place=place)}, place=place, label=True)
    return _assignment(keys[0], table)


def _object(brace: Token, *items: Assigned) -> Table:
    return Table(fields=joined(items), place=place_of(brace))


def _list(*values: Scalar | list[Value] | Table) -> list[Value]:
    return [value.value() if isinstance(value, Scalar) else value for value in values]


def _string(token: Token) -> str:
    try:
        return unquoted(str(token))
    except BadEscapeError as exc:
        raise _malformed(token, str(exc)) from exc


def _scalar(spelling: Spelling, text_of: Callable[[Token], str] = str) -> Callable[[Token], Scalar]:
    def read(token: Token) -> Scalar:
        place = place_of(token)
        return Scalar(spelling=spelling, text=text_of(token), line=place.line, column=place.column)

    return read


def _heredoc(token: Token) -> str:
    return heredoc_value(str(token))


def _json_boolean(token: Token) -> bool:
    return str(token) == "true"


def _json_object(brace: Token, *members: tuple[str, Field]) -> Table:
    """The last of several equal keys wins."""
    return Table(fields=dict(members), place=place_of(brace))


def _member(token: Token, value: Value) -> tuple[str, Field]:
    return _json_string(token), Field(value=value, place=place_of(token))


def _json_string(token: Token) -> str:
    # A lone surrogate becomes U+FFFD, as in Go.
    return (
        str(json.loads(token)).encode("utf-8", "replace").decode() if "\\u" in token else json.loads(token)
    )


def _json_integer(token: Token) -> int | float:
    """Go reads every JSON number as a float; an integer is kept exactly where it has 64 bits."""
    if len(token) > 20 or not INTEGER_MIN <= (value := int(token)) <= INTEGER_MAX:
        return _json_fraction(token)
    return value


def _json_fraction(token: Token) -> float:
    value = float(token)
    if value in {float("inf"), float("-inf")}:
        raise _malformed(token, f'"{token}" is too large for a number')
    return value


_ACTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "hcl": _hcl,
    "key": _key,
    "quoted_key": _quoted_key,
    "assignment": _assignment,
    "block": _block,
    "object": _object,
    "list": _list,
    "string": _scalar(Spelling.STRING, _string),
    "heredoc": _scalar(Spelling.HEREDOC, _heredoc),
    "integer": _scalar(Spelling.INTEGER),
    "fraction": _scalar(Spelling.FRACTION),
    "boolean": _scalar(Spelling.BOOLEAN),
    "json": lambda table: table,
    "nothing": lambda token: _EMPTY,
    "json_object": _json_object,
    "member": _member,
    "json_list": lambda *values: list(values),
    "json_string": _json_string,
    "json_integer": _json_integer,
    "json_fraction": _json_fraction,
    "json_boolean": _json_boolean,
    "null": lambda token: None,
}


def place_of(token: Token) -> Place:
    """Where *token* stands."""
    return Place(line=token.line or 1, column=token.column or 1)


def _malformed(token: Token, message: str) -> MalformedDocumentError:
    return MalformedDocumentError(message, line=token.line or 1, column=token.column or 1)


def _unexpected(exc: UnexpectedToken, text: str) -> MalformedDocumentError:
    """``expected "=" or "{", found "}"``, at the place of what was found."""
    words = {_WORDS[name] for name in exc.accepts or exc.expected}
    if words >= _VALUE - {"null", "a heredoc"}:
        words = (words - _VALUE) | {"a value"}
    elif "a key" in words:
        words.discard("a string")
    expected = " or ".join(sorted(words, key=lambda word: (word == _WORDS["$END"], word)))
    token = exc.token
    if token.type == "$END":
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        return MalformedDocumentError(
            f"expected {expected}, found {_WORDS['$END']}", line=line, column=column
        )
    shown = token.partition("\n")[0][:40]
    return _malformed(token, f'expected {expected}, found "{shown}"')
