"""A template as a tree: text, values, conditions, loops. Parsed once, then rendered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from connect_proxy_envoy.template.words import (
    RawJson,
    Scope,
    Value,
    Word,
    evaluate,
    is_true,
    split_words,
    template_error,
)

_ACTION: Final = re.compile(r"\{\{(-(?=\s))?(.*?)((?<=\s)-)?\}\}", re.DOTALL)
_BLOCKS: Final = frozenset({"if", "range", "with"})


@dataclass(frozen=True, slots=True)
class _Action:
    """What stands between the braces."""

    words: list[Word]

    @property
    def keyword(self) -> str:
        """``if``, ``end`` …; empty for a value."""
        return self.words[0].text if self.words and self.words[0].kind == "name" else ""


@dataclass(slots=True)
class _Block:
    """``if``, ``range`` or ``with`` up to its ``end``."""

    kind: str
    words: list[Word]
    body: list[_Node] = field(default_factory=list)
    otherwise: list[_Node] = field(default_factory=list)


_Piece = str | _Action
_Node = str | _Action | _Block


def render_template(template: str, fields: Mapping[str, Value]) -> str:
    """*template* with *fields* put in. Raises ConfigurationError for what is not supported."""
    scope: Scope = {"$": fields, ".": fields}
    return "".join(_rendered(_parsed(template), scope))


def _parsed(template: str) -> list[_Node]:
    nodes, stop = _nodes(_pieces(template))
    if stop is not None:
        raise template_error(what=f"has an {stop.keyword!r} without a beginning")
    return nodes


def _nodes(pieces: Iterator[_Piece]) -> tuple[list[_Node], _Action | None]:
    """Nodes up to an ``else`` or ``end`` of the block around them, and that action; None at the end."""
    nodes: list[_Node] = []
    for piece in pieces:
        if isinstance(piece, str):
            nodes.append(piece)
        elif piece.keyword in {"else", "end"}:
            return nodes, piece
        elif piece.keyword in _BLOCKS:
            nodes.append(_block(piece.keyword, piece.words[1:], pieces))
        else:
            nodes.append(piece)
    return nodes, None


def _block(kind: str, words: list[Word], pieces: Iterator[_Piece]) -> _Block:
    """The block whose first action was just read, up to its ``end``."""
    body, stop = _nodes(pieces)
    block = _Block(kind, words, body)
    if stop is not None and stop.keyword == "else":
        rest = stop.words[1:]
        if rest and rest[0].text == "if":  # ends with this block
            block.otherwise.append(_block("if", rest[1:], pieces))
            return block
        if rest:
            raise template_error(what=f"has an 'else {rest[0].text}', which is not supported")
        block.otherwise, stop = _nodes(pieces)
    if stop is None or stop.keyword != "end":
        raise template_error(what=f"has a {kind!r} without an 'end'")
    return block


def _pieces(template: str) -> Iterator[_Piece]:
    """Text and actions in turn; ``{{-`` and ``-}}`` take the space beside them away."""
    at, trims = 0, False
    for match in _ACTION.finditer(template):
        text = template[at : match.start()]
        text = text.lstrip() if trims else text
        yield text.rstrip() if match[1] else text
        if not match[2].strip().startswith("/*"):
            yield _Action(split_words(match[2]))
        at, trims = match.end(), bool(match[3])
    rest = template[at:]
    if "{{" in rest:
        raise template_error(what="has a '{{' without '}}'")
    yield rest.lstrip() if trims else rest


def _rendered(nodes: Sequence[_Node], scope: Scope) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Block):
            yield from _rendered_block(node, scope)
        else:
            yield _shown(evaluate(node.words, scope))


def _rendered_block(block: _Block, scope: Scope) -> Iterator[str]:
    if block.kind == "range":
        yield from _rendered_loop(block, scope)
        return
    value = evaluate(block.words, scope)
    if not is_true(value):
        yield from _rendered(block.otherwise, scope)
    elif block.kind == "with":
        yield from _rendered(block.body, {**scope, ".": value})
    else:
        yield from _rendered(block.body, scope)


def _rendered_loop(block: _Block, scope: Scope) -> Iterator[str]:
    """``range .List``, ``range $item := .List``, ``range $index, $item := .List``."""
    names, words = _loop_variables(block.words)
    items = evaluate(words, scope)
    if isinstance(items, str | bool | int | Mapping):
        raise template_error(what="ranges over something that is no list")
    if not items:
        yield from _rendered(block.otherwise, scope)
    for index, item in enumerate(items):
        variables: tuple[Value, ...] = (item,) if len(names) == 1 else (index, item)
        yield from _rendered(block.body, {**scope, ".": item, **dict(zip(names, variables, strict=False))})


def _loop_variables(words: list[Word]) -> tuple[list[str], list[Word]]:
    marks = [word.text for word in words]
    if ":=" not in marks:
        return [], words
    assign = marks.index(":=")
    names = [word.text for word in words[:assign] if word.text != ","]
    if not 1 <= len(names) <= 2 or not all(name.startswith("$") for name in names):
        raise template_error(what="ranges with variables that cannot be read")
    return names, words[assign + 1 :]


def _shown(value: Value) -> str:
    """As it stands in the output: text is escaped for the inside of a JSON string."""
    match value:
        case RawJson():
            return str(value)
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)[1:-1]
        case int():
            return str(value)
    raise template_error(what="prints something that is no single value")
