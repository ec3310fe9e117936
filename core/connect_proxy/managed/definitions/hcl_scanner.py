"""The words of an HCL 1 text, as HashiCorp's scanner tells them apart. Pure.

Source: the behaviour of Consul 1.8.7 (``consul validate``), its oddities among it: a heredoc with a
dash wants an indented end mark, ``018`` is no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lark import Token
from lark.lexer import Lexer

from connect_proxy.errors import MalformedDocumentError

MAX_DEPTH: Final = 64
"""Braces and brackets inside each other."""

_SINGLE: Final = {
    "{": "LBRACE",
    "}": "_RBRACE",
    "[": "_LBRACKET",
    "]": "_RBRACKET",
    ",": "_COMMA",
    "=": "_EQUAL",
}
_WORD: Final = re.compile(
    r"""
      (?P<skip>       (?:[ \t\r\n]+ | \#[^\n\0]* | //[^\n\0]* | /\*[^\0]*?\*/)++ )
    | (?P<IDENTIFIER> [^\W\d][\w.\-]* )
    | (?P<single>     [{}\[\],=] )
    | (?P<STRING>     "(?:[^"\\\n$\0]++ | \$(?!\{) | \\[abfnrtv\\"] | \\[0-7]{3} | \\x[0-9a-fA-F]{2}
                        | \\u[0-9a-fA-F]{4} | \\U[0-9a-fA-F]{8})*+" )
    | (?P<number>     -?(?:0[xX][0-9a-fA-F]* | [0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?) | \.[0-9]+ )
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r'\\(?:[abfnrtv\\"]|[0-7]{3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})')
_ANCHOR: Final = re.compile(r"<<(-?)(\w+)\n")
_LINE_END: Final = "\n"


class HclScanner(Lexer):
    """Lark's lexer interface: a text in, tokens out. Raises MalformedDocumentError."""

    def __init__(self, configuration: Any) -> None:
        """*configuration* (the terminals) is what Lark hands over; they are known here."""

    def lex(self, data: Any) -> Iterator[Token]:  # type: ignore[override]  # Lark's older, simpler form
        """The tokens of *data*, comments and white space left out."""
        text = str(data)
        scan = Scan(text)
        while scan.position < len(text):
            token = scan.next_token()
            if token is not None:
                yield token


class Scan:
    """Where the scanner stands in one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._line = 1
        self._line_start = 0
        self._depth = 0

    def next_token(self) -> Token | None:
        """The next word, None where it is white space or a comment."""
        start = self.position
        found = _WORD.match(self.text, start)
        if found is None:
            return self._unusual(start)
        kind = str(found.lastgroup)
        end = found.end()
        if kind == "skip":
            self._advance(end)
            return None
        word = found[0]
        match kind:
            case "IDENTIFIER":
                kind = "BOOLEAN" if word in {"true", "false"} else kind
            case "single":
                kind = self._nested(word, start)
            case "number":
                kind = self._number(word, start)
        return self._token(kind, start, end)

    def _token(self, kind: str, start: int, end: int) -> Token:
        token = Token(
            kind, self.text[start:end], start, self._line, start - self._line_start + 1, None, None, end
        )
        self._advance(end)
        return token

    def _advance(self, end: int) -> None:
        """Move to *end*, counting the lines that lie between."""
        lines = self.text.count(_LINE_END, self.position, end)
        if lines:
            self._line += lines
            self._line_start = self.text.rfind(_LINE_END, self.position, end) + 1
        self.position = end

    def _nested(self, word: str, start: int) -> str:
        if word in "{[":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise self._malformed(start, f"more than {MAX_DEPTH} blocks and lists inside each other")
        elif word in "}]":
            self._depth -= 1
        return _SINGLE[word]

    def _number(self, word: str, start: int) -> str:
        """NUMBER or FLOAT; the scanner takes more than what is a number at last."""
        digits = word.lstrip("-")
        if digits[:2] in {"0x", "0X"}:
            if len(digits) == 2:
                raise self._malformed(start, f'"{word}" is no number: no hexadecimal digit follows')
            return "NUMBER"
        if "." in digits or "e" in digits or "E" in digits:
            if digits[-1] in "eE+-":
                raise self._malformed(start, f'"{word}" is no number: the exponent has no digits')
            return "FLOAT"
        return "NUMBER"

    def _unusual(self, start: int) -> Token:
        """What no pattern takes: strings with ``${…}``, heredocs, and all that is wrong."""
        match self.text[start]:
            case '"':
                return self._token("STRING", start, self._string_end(start))
            case "<":
                return self._heredoc(start)
            case "/" if self.text.startswith("/*", start):
                raise self._malformed(start, "this comment does not end; close it with */")
            case "/":
                raise self._malformed(start, 'a single "/"; a comment begins with //, /* or #')
            case "\0":
                raise self._malformed(start, "a null character; this is no text file")
            case other:
                raise self._malformed(start, f"the character {other!r} cannot stand here")

    def _string_end(self, start: int) -> int:
        """Behind the quote that ends the string at *start*: one inside of ``${…}`` does not."""
        text, braces, at = self.text, 0, start + 1
        while at < len(text):
            char = text[at]
            if char == "\0" or (char == _LINE_END and not braces):
                break
            if char == '"' and not braces:
                return at + 1
            if char == "\\":
                escape = _ESCAPE.match(text, at)
                if escape is None:
                    message = f"{text[at : at + 2]!r} is no escape; write a backslash as \\\\"
                    raise self._malformed(at, message)
                at = escape.end()
                continue
            if not braces and text.startswith("${", at):
                braces, at = 1, at + 2
                continue
            if braces:
                braces += (char == "{") - (char == "}")
            at += 1
        raise self._malformed(start, 'this string does not end; close it with " (in the same line)')

    def _heredoc(self, start: int) -> Token:
        anchor = _ANCHOR.match(self.text, start)
        if anchor is None:
            message = 'a heredoc begins with << or <<-, a word, and the end of the line, as in "<<EOF"'
            raise self._malformed(start, message)
        mark = anchor[1] + anchor[2]
        at = anchor.end()
        while (end := self.text.find(_LINE_END, at)) >= 0:
            line = self.text[at:end]
            # The dash counts: after <<-EOF the end mark needs at least one blank before it.
            if line.lstrip(" \t\r\f\v").rstrip("\r") == anchor[2] and len(line) >= len(mark):
                return self._token("HEREDOC", start, end + 1)
            at = end + 1
        hint = " (indented by at least one blank)" if anchor[1] else ""
        message = f'this heredoc does not end; a line with nothing but "{anchor[2]}"{hint} ends it'
        raise self._malformed(start, message)

    def _malformed(self, at: int, message: str) -> MalformedDocumentError:
        self._advance(at)
        return MalformedDocumentError(message, line=self._line, column=at - self._line_start + 1)
