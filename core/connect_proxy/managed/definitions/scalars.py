"""One scalar of HCL 1, and what it is behind a key that has a value already. Pure.

HCL 1 reads the second value of a key as one of the kind that the first was: ``"8080"`` after a number is
a number, ``8080`` after a string is a string, and what cannot be read so is an error.
Source: ``decodeInt`` and its neighbours in hashicorp/hcl's ``decoder.go``; tried on Consul 1.8.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from connect_proxy.errors import MalformedDocumentError

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
LONGEST_NUMBER: Final = 100
TOO_LONG: Final = "this number is too large"
TOO_LARGE: Final = "is too large: numbers have 64 bits"
INFINITE: Final = "is too large for a number"
NOT_OCTAL: Final = "is no number: after a leading 0 the digits are octal"
_GO_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>(?:_?[0-9a-fA-F])+)|0[bB](?P<binary>(?:_?[01])+)"
    r"|0[oO]?(?P<octal>(?:_?[0-7])+)|(?P<decimal>0|[1-9](?:_?[0-9])*))"
)
_BASES: Final = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}

ScalarValue: TypeAlias = "str | bool | int | float"


class Spelling(Enum):
    """How a scalar is written."""

    STRING = "a string"
    HEREDOC = "a heredoc"
    INTEGER = "a number"
    FRACTION = "a fraction"
    BOOLEAN = "a boolean"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """As it is written; its value depends on where."""

    spelling: Spelling
    text: str
    """Of a string what it says; else as it stands in the file."""
    line: int
    column: int

    def value(self) -> ScalarValue:
        """Where it is the first. Raises MalformedDocumentError."""
        match self.spelling:
            case Spelling.BOOLEAN:
                return self.text == "true"
            case Spelling.INTEGER:
                return self._integer()
            case Spelling.FRACTION:
                return self._fraction()
        return self.text

    def value_after(self, before: ScalarValue | None) -> ScalarValue | None:
        """Behind a key that has the value *before*; None where it cannot be read as one of its kind.

        Raises MalformedDocumentError for a number that is too large.
        """
        match before:
            case bool():
                return self.value() if self.spelling is Spelling.BOOLEAN else None
            case int():
                if self.spelling is Spelling.STRING:
                    return integer_of_go(self.text)
                return self._integer() if self.spelling is Spelling.INTEGER else None
            case float():
                return self._as_fraction()
        is_text = self.spelling in {Spelling.STRING, Spelling.HEREDOC, Spelling.INTEGER}
        return self.text if is_text else None

    def _integer(self) -> int:
        """Decimal, hexadecimal (0x1F), octal (017)."""
        if len(self.text) > LONGEST_NUMBER:
            raise MalformedDocumentError(TOO_LONG, line=self.line, column=self.column)
        digits = self.text.lstrip("-")
        if digits[0] == "0" and digits.isdecimal() and ("8" in digits or "9" in digits):
            raise self._malformed(why=NOT_OCTAL)
        base = 16 if digits[:2] in {"0x", "0X"} else 8 if digits[0] == "0" else 10
        value = int(digits, base) * (-1 if self.text.startswith("-") else 1)
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise self._malformed(why=TOO_LARGE)
        return value

    def _fraction(self) -> float:
        value = float(self.text)
        if value in {float("inf"), float("-inf")}:
            raise self._malformed(why=INFINITE)
        return value

    def _as_fraction(self) -> float | None:
        """An integer is decimal here, whatever stands before it."""
        is_number = self.spelling in {Spelling.INTEGER, Spelling.FRACTION}
        is_hexadecimal = self.text.lstrip("-")[:2] in {"0x", "0X"}
        return self._fraction() if is_number and not is_hexadecimal else None

    def _malformed(self, *, why: str) -> MalformedDocumentError:
        return MalformedDocumentError(f'"{self.text}" {why}', line=self.line, column=self.column)


def integer_of_go(text: str) -> int | None:
    """What Go's ``strconv.ParseInt(text, 0, 64)`` gives; None where it fails."""
    found = _GO_INTEGER.fullmatch(text)
    if found is None or len(text) > LONGEST_NUMBER:
        return None
    kind = found.lastgroup or "decimal"
    value = int(found[kind].replace("_", ""), _BASES[kind])
    value = -value if found["sign"] == "-" else value
    return value if INTEGER_MIN <= value <= INTEGER_MAX else None
