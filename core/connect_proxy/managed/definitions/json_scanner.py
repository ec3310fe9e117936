"""The words of a JSON text, with their places. Pure. Source: RFC 8259, as Go reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lark import Token
from lark.lexer import Lexer

from connect_proxy.errors import MalformedDocumentError
from connect_proxy.managed.definitions.hcl_scanner import MAX_DEPTH

_SINGLE: Final = {
    "{": "LBRACE",
    "}": "_RBRACE",
    "[": "_LBRACKET",
    "]": "_RBRACKET",
    ",": "_COMMA",
    ":": "_COLON",
}
_WORDS: Final = {"true": "BOOLEAN", "false": "BOOLEAN", "null": "NULL"}
_WORD: Final = re.compile(
    r"""
      (?P<skip>   [ \t\r\n]+ )
    | (?P<single> [{}\[\],:] )
    | (?P<STRING> "(?:[^"\\\x00-\x1f]++ | \\["\\/bfnrt] | \\u[0-9a-fA-F]{4})*+" )
    | (?P<FLOAT>  -?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+) )
    | (?P<NUMBER> -?(?:0|[1-9][0-9]*) )
    | (?P<word>   [a-zA-Z]+ )
    """,
    re.VERBOSE,
)


class JsonScanner(Lexer):
    """Lark's lexer interface: a text in, tokens out. Raises MalformedDocumentError."""

    def __init__(self, configuration: Any) -> None:
        """*configuration* (the terminals) is what Lark hands over; they are known here."""

    def lex(self, data: Any) -> Iterator[Token]:  # type: ignore[override]  # Lark's older, simpler form
        """The tokens of *data*, white space left out."""
        text = str(data)
        at, line, line_start, depth = 0, 1, 0, 0
        while at < len(text):
            found = _WORD.match(text, at)
            column = at - line_start + 1
            if found is None:
                raise MalformedDocumentError(_complaint(text, at), line=line, column=column)
            kind, word = str(found.lastgroup), found[0]
            if kind == "skip":
                if lines := word.count("\n"):
                    line, line_start = line + lines, at + word.rfind("\n") + 1
                at = found.end()
                continue
            if kind == "word":
                kind = _WORDS.get(word, "")
            elif kind == "single":
                kind = _SINGLE[word]
                depth += (word in "{[") - (word in "}]")
            if not kind or depth > MAX_DEPTH:
                message = (
                    f'"{word}" is no JSON; strings stand in double quotes'
                    if not kind
                    else f"more than {MAX_DEPTH} objects and lists inside each other"
                )
                raise MalformedDocumentError(message, line=line, column=column)
            yield Token(kind, word, at, line, column, None, None, found.end())
            at = found.end()


def _complaint(text: str, at: int) -> str:
    match text[at]:
        case '"':
            return "this string does not end, or holds an escape or a control character that JSON has not"
        case "/" | "#":
            return "JSON has no comments; a file named .hcl may have them"
        case other:
            return f"the character {other!r} cannot stand here"
