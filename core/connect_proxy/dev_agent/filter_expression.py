"""Consul's filter expressions (``Kind == "connect-proxy" and not Meta.env in ...``).

Source: Consul's documentation of API filtering. Selectors walk the JSON object that is shown;
what is absent there is empty. Grammar::

    or      = and {"or" and}
    and     = not {"and" not}
    not     = ["not"] (comparison | "(" or ")")
    comparison = selector ("==" | "!=" | "contains" | "not contains" | "matches" | "not matches") value
               | selector ("is empty" | "is not empty")
               | value ("in" | "not in") selector
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Predicate: TypeAlias = Callable[[Mapping[str, Any]], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<operator>==|!=|\(|\)|\[|\]|\.)|(?P<word>[A-Za-z0-9_/-]+))"""
)
DEEPEST: Final = 100
"""Parentheses and negations around a comparison."""
_WORDS: Final = frozenset({"and", "or", "not", "in", "contains", "matches", "is", "empty"})


class FilterError(ValueError):
    """The text is no filter expression."""


def compile_filter(text: str) -> Predicate:
    """The predicate behind *text*. Empty text lets everything through. Raises FilterError."""
    if not text.strip():
        return lambda item: True
    parser = _Parser(_tokens(text))
    predicate = parser.either()
    if parser.position != len(parser.tokens):
        raise FilterError(_unexpected(parser))
    return predicate


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


@dataclass(slots=True)
class _Parser:
    tokens: list[_Token]
    position: int = field(default=0)
    depth: int = field(default=0)

    def either(self) -> Predicate:
        terms = [self.both()]
        while self.take("or"):
            terms.append(self.both())
        return _any(terms)

    def both(self) -> Predicate:
        terms = [self.negated()]
        while self.take("and"):
            terms.append(self.negated())
        return _all(terms)

    def negated(self) -> Predicate:
        if self.take("not"):
            return _negate(self.inside(self.negated))
        if self.take("("):
            inside = self.inside(self.either)
            self.expect(")")
            return inside
        return self.comparison()

    def inside(self, part: Callable[[], Predicate]) -> Predicate:
        """One level deeper. Raises FilterError where it would be too deep to be evaluated."""
        if self.depth == DEEPEST:
            message = f"nested more than {DEEPEST} levels deep"
            raise FilterError(message)
        self.depth += 1
        found = part()
        self.depth -= 1
        return found

    def comparison(self) -> Predicate:
        first = self.operand()
        negative = self.take("not")
        if self.take("in"):
            found = _contains(self.operand().path, first.value)
        elif self.take("contains"):
            found = _contains(first.path, self.operand().value)
        elif self.take("matches"):
            found = _matches(first.path, self.operand().value)
        elif not negative and self.take("is"):
            negative = self.take("not")
            self.expect("empty")
            found = _is_empty(first.path)
        elif not negative and self.take("=="):
            found = _equals(first.path, self.operand().value)
        elif not negative and self.take("!="):
            found = _negate(_equals(first.path, self.operand().value))
        else:
            raise FilterError(_unexpected(self))
        return _negate(found) if negative else found

    def operand(self) -> _Operand:
        """A value or a selector: which one it is depends on the operator beside it."""
        token = self.next()
        if token.kind == "text":
            return _Operand(value=_unquoted(token.text), path=())
        if token.kind != "word" or token.text in _WORDS:
            self.position -= 1
            raise FilterError(_unexpected(self))
        path = [token.text]
        while True:
            if self.take("."):
                path.append(self.next().text)
            elif self.take("["):
                path.append(_unquoted(self.next().text))
                self.expect("]")
            else:
                return _Operand(value=".".join(path), path=tuple(path))

    def next(self) -> _Token:
        if self.position == len(self.tokens):
            raise FilterError(_unexpected(self))
        self.position += 1
        return self.tokens[self.position - 1]

    def take(self, text: str) -> bool:
        here = self.position
        if here < len(self.tokens) and self.tokens[here].kind != "text" and self.tokens[here].text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise FilterError(_unexpected(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Operand:
    value: str
    path: tuple[str, ...]


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            message = f"1:{position + 1} ({position}): no match found"
            raise FilterError(message)
        tokens.append(
            _Token(kind=match.lastgroup, text=match[match.lastgroup], column=match.start(match.lastgroup))
        )
        position = match.end()
    return tokens


def _unexpected(parser: _Parser) -> str:
    if parser.position < len(parser.tokens):
        token = parser.tokens[parser.position]
        return f"1:{token.column + 1} ({token.column}): no match found, unexpected {token.text!r}"
    end = parser.tokens[-1].column + len(parser.tokens[-1].text) if parser.tokens else 0
    return f"1:{end + 1} ({end}): no match found, expected an operator or a value"


def _unquoted(text: str) -> str:
    if text[:1] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' else text


def _values(item: Any, path: tuple[str, ...]) -> list[Any]:
    """What *path* leads to; inside lists, for each element."""
    if isinstance(item, list):
        return [value for each in item for value in _values(each, path)] if path else [item]
    if not path:
        return [item]
    return _values(item[path[0]], path[1:]) if isinstance(item, Mapping) and path[0] in item else []


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _equals(path: tuple[str, ...], wanted: str) -> Predicate:
    return lambda item: (
        wanted in [_shown(value) for value in _values(item, path)]
        or (wanted == "" and not _values(item, path))
    )


def _contains(path: tuple[str, ...], wanted: str) -> Predicate:
    return lambda item: any(wanted in value for value in _values(item, path) if value is not None)


def _matches(path: tuple[str, ...], wanted: str) -> Predicate:
    try:
        pattern = re.compile(wanted)
    except (re.error, RecursionError, OverflowError) as exc:
        message = f"error parsing regexp: {exc}"
        raise FilterError(message) from exc
    return lambda item: any(pattern.search(_shown(value)) for value in _values(item, path))


def _is_empty(path: tuple[str, ...]) -> Predicate:
    return lambda item: not any(_values(item, path))


def _negate(one: Predicate) -> Predicate:
    return lambda item: not one(item)


def _all(terms: Sequence[Predicate]) -> Predicate:
    return terms[0] if len(terms) == 1 else lambda item: all(holds(item) for holds in terms)


def _any(terms: Sequence[Predicate]) -> Predicate:
    return terms[0] if len(terms) == 1 else lambda item: any(holds(item) for holds in terms)
