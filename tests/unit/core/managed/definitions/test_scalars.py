"""Scalars behind a key that has a value already. What Consul says stands in test_hcl_differential.py."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import MalformedDocumentError
from connect_proxy.managed.definitions.hcl import parse_hcl
from connect_proxy.managed.definitions.scalars import integer_of_go


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("1", "0x1F", 31),
        ("1", '"0x1F"', 31),
        ("1", '"017"', 15),
        ("1.5", "017", 17.0),
        ("1.5", "08", 8.0),
        ("1.5", "-2", -2.0),
        ('"x"', "017", "017"),
        ('"x"', "08", "08"),
        ('"x"', "9223372036854775808", "9223372036854775808"),
        ('"x"', "<<E\n y\nE\n", " y\n"),
        ("<<E\nx\nE\n", '"y"', "y"),
        ("true", "false", False),
    ],
)
def test_the_second_value_is_read_as_one_of_the_first_ones_kind(
    first: str, second: str, value: Any
) -> None:
    assert parse_hcl(f"a = {first}\na = {second}").plain() == {"a": value}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1", '"x"'),
        ("1", '" 7"'),
        ("1", '"9223372036854775808"'),
        ("1", "1.5"),
        ("1", "true"),
        ("1", "<<E\n7\nE\n"),
        ("1.5", "0x1F"),
        ("1.5", '"1"'),
        ("true", '"true"'),
        ("true", "1"),
        ('"x"', "1.5"),
        ('"x"', "true"),
        ("[]", "1"),
        ("{}", '"x"'),
        ("{}", "[1]"),
    ],
)
def test_what_cannot_be_read_so_is_an_error_at_the_second(first: str, second: str) -> None:
    with pytest.raises(MalformedDocumentError, match=r'"a" stands more than once') as caught:
        parse_hcl(f"b {{\na = {first}\n  a = {second}\n}}")
    assert caught.value.line == 3 + first.count("\n")
    assert caught.value.column == 3


@pytest.mark.parametrize("text", ["1e999", "9223372036854775808"])
def test_a_number_that_is_too_large_for_its_kind_is_an_error(text: str) -> None:
    with pytest.raises(MalformedDocumentError, match="is too large"):
        parse_hcl(f"a = {'1.5' if 'e' in text else '1'}\na = {text}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0b11", 3),
        ("0O17", 15),
        ("0_7", 7),
        ("+7", 7),
        ("-0", 0),
        ("1_000", 1000),
        ("-0x8000000000000000", -(2**63)),
    ],
)
def test_an_integer_in_a_string_is_spelt_as_in_go(text: str, value: int) -> None:
    assert integer_of_go(text) == value


@pytest.mark.parametrize(
    "text", ["", "-", "0x", "08", "1__0", "_1", "1_", "\u0661", "7\n", "1.0", "0b2", "1" * 101]
)
def test_what_go_cannot_read_is_no_integer(text: str) -> None:
    assert integer_of_go(text) is None


@given(value=st.integers(-(2**64), 2**64))
def test_integers_have_64_bits(value: int) -> None:
    expected = value if -(2**63) <= value < 2**63 else None
    assert integer_of_go(str(value)) == expected
