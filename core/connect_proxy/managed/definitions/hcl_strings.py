"""The values of HCL 1's quoted strings and heredocs. Pure.

Nothing is interpolated: Consul keeps ``${…}`` as it stands, escapes inside of it included.
"""

from __future__ import annotations

import re
from typing import Final

_SIMPLE: Final = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_ESCAPE: Final = re.compile(
    r'\\(?:(?P<simple>[abfnrtv\\"])|(?P<octal>[0-7]{3})|x(?P<byte>[0-9a-fA-F]{2})'
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_REPLACEMENT: Final = "\ufffd".encode()


class BadEscapeError(ValueError):
    """An escape that names no character."""


def unquoted(literal: str) -> str:
    """The value of a quoted string, quotes included. Raises BadEscapeError.

    As in Go ``\\x`` and octal escapes are bytes of UTF-8; bytes that are none become U+FFFD.
    """
    inner = literal[1:-1]
    if "\\" not in inner:
        return inner
    parts: list[bytes] = []
    at = 0
    while at < len(inner):
        if inner.startswith("${", at):
            end = _interpolation_end(inner, at)
            parts.append(inner[at:end].encode("utf-8", "replace"))
        elif inner[at] == "\\":
            found = _ESCAPE.match(inner, at)
            assert found is not None, "the scanner lets only these through"
            parts.append(_escaped(found))
            end = found.end()
        else:
            end = _plain_end(inner, at)
            parts.append(inner[at:end].encode("utf-8", "replace"))
        at = end
    return b"".join(parts).decode("utf-8", "replace")


def heredoc_value(literal: str) -> str:
    """The value of a heredoc, from ``<<`` to the end of the line with the end mark.

    ``<<-`` takes the end mark's indentation off every line, if every line has it (an empty line has
    not: then nothing is taken off).
    """
    head, _, body = literal.partition("\n")
    dash = head.startswith("<<-")
    mark = head[3:] if dash else head[2:]
    content = body.removesuffix("\n").rstrip("\r")[: -len(mark)]
    if not dash:
        return content
    lines = content.split("\n")
    indentation = lines[-1]
    if all(line.startswith(indentation) for line in lines):
        return "\n".join([*(line.removeprefix(indentation) for line in lines[:-1]), ""])
    return content.rstrip(" \t")


def _plain_end(inner: str, at: int) -> int:
    candidates = [end for end in (inner.find("\\", at), inner.find("${", at + 1)) if end >= 0]
    return min(candidates, default=len(inner))


def _interpolation_end(inner: str, at: int) -> int:
    depth, at = 1, at + 2
    while depth:
        depth += (inner[at] == "{") - (inner[at] == "}")
        at += 1
    return at


def _escaped(found: re.Match[str]) -> bytes:
    if found["simple"]:
        return _SIMPLE[found["simple"]]
    if found["octal"] or found["byte"]:
        value = int(found["octal"], 8) if found["octal"] else int(found["byte"], 16)
        if value > 0xFF:
            message = f'"{found[0]}" is no escape: octal ones go up to \\377'
            raise BadEscapeError(message)
        return bytes([value])
    value = int(found["short"] or found["long"], 16)
    if value > 0x10FFFF:
        message = f'"{found[0]}" is no escape: Unicode goes up to \\U0010FFFF'
        raise BadEscapeError(message)
    return _REPLACEMENT if 0xD800 <= value <= 0xDFFF else chr(value).encode()
