"""Go's duration texts, as Consul's API takes and gives them: ``10s``, ``1h30m``, ``250ms``.

Source: the documentation of Go's ``time.ParseDuration`` and ``Duration.String``.
"""

import re
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MAX: Final = 2**63 - 1
NANOSECONDS: Final = 1_000_000_000


class NotADurationError(ValueError):
    """The text is no Go duration. The message is Go's."""


def parse_duration(text: str) -> int:
    """*text* in nanoseconds. Raises NotADurationError with Go's own wording."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    total = 0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise NotADurationError(_complaint(text, rest[position:]))
        total += _nanoseconds(part[1], _UNITS[part[2]])
        position = part.end()
    if not rest or total > _MAX:
        raise NotADurationError(_complaint(text, ""))
    return sign * total


def seconds(text: str) -> float:
    """*text* in seconds."""
    return parse_duration(text) / NANOSECONDS


def format_duration(nanoseconds: int) -> str:
    """As Go prints it: ``72h0m0s``, ``1.5s``, ``250ms``, ``0s``."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < 1000 * _UNITS[unit]:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    text = _decimal(rest, _UNITS["s"]) + "s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return text


def _nanoseconds(number: str, unit: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{str(rest).zfill(digits).rstrip('0')}"


def _complaint(text: str, rest: str) -> str:
    if number := re.match(r"[0-9]+\.?[0-9]*|\.[0-9]+", rest):
        unit = re.match(r"[^0-9.]*", rest[number.end() :])
        name = unit[0] if unit else ""
        if not name:
            return f'time: missing unit in duration "{text}"'
        return f'time: unknown unit "{name}" in duration "{text}"'
    return f'time: invalid duration "{text}"'
