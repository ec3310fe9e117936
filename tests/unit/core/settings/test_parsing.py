"""Text to values, by Go's rules."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import MalformedValueError
from connect_proxy.settings.parsing import (
    FALSE,
    TRUE,
    parse_boolean,
    parse_choice,
    parse_duration,
    parse_integer,
    parse_text,
    parse_toml,
)
from connect_proxy.settings.setting import Setting, Type


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_what_go_takes_for_true(text: str) -> None:
    assert parse_boolean(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_what_go_takes_for_false(text: str) -> None:
    assert parse_boolean(text) is False


@given(st.text())
def test_an_unparsable_boolean_is_an_error_that_names_what_is_accepted(text: str) -> None:
    if text in TRUE + FALSE:
        return
    with pytest.raises(MalformedValueError, match="TRUE, true, True, 0"):
        parse_boolean(text)


@pytest.mark.parametrize("text", ["yes", "no", "on", "tRUE", " true", "true ", "", "2", "-1"])
def test_what_is_no_boolean(text: str) -> None:
    with pytest.raises(MalformedValueError):
        parse_boolean(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("5s", 5.0),
        ("+5s", 5.0),
        ("-5s", -5.0),
        ("1m30s", 90.0),
        ("1h2m3s", 3723.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("7ns", 7e-9),
        ("3s2m", 123.0),
    ],
)
def test_durations_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-", "5", "s", "5 s", "5d", ".s", "1m30", "soon", "5S", "1e3s", "--5s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(MalformedValueError, match="not a duration"):
        parse_duration(text)


def test_a_duration_beyond_gos_range_is_an_error() -> None:
    assert parse_duration("2540400h") == 2540400 * 3600
    with pytest.raises(MalformedValueError, match="292 years"):
        parse_duration("2562048h")


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text(alphabet="0123456789.+-hmsunµ", max_size=12))
def test_no_text_makes_the_duration_parser_fail_otherwise(text: str) -> None:
    with contextlib.suppress(MalformedValueError):
        assert isinstance(parse_duration(text), float)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_is_read(number: int) -> None:
    assert parse_integer(str(number)) == number


@pytest.mark.parametrize("text", ["", "1.0", "0x10", "1_000", "ten", " 1", "٣", "9223372036854775808"])
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(MalformedValueError, match="not an integer"):
        parse_integer(text)


def test_a_choice_is_the_same_in_upper_and_lower_case() -> None:
    assert parse_choice("debug", ("DEBUG", "INFO")) == "DEBUG"
    with pytest.raises(MalformedValueError, match="DEBUG, INFO"):
        parse_choice("verbose", ("DEBUG", "INFO"))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Type.STRING, "web", "web"),
        (Type.BOOLEAN, True, True),
        (Type.INTEGER, 7, 7),
        (Type.DURATION, "1m", 60.0),
        (Type.STRINGS, ["a", "b"], ("a", "b")),
    ],
)
def test_a_settings_files_values_have_tomls_types(kind: Type, value: object, expected: object) -> None:
    assert parse_toml(Setting(name="x", type=kind, help=""), value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.STRING, 8500),
        (Type.STRING, True),
        (Type.BOOLEAN, "true"),
        (Type.BOOLEAN, 1),
        (Type.INTEGER, True),
        (Type.INTEGER, "7"),
        (Type.DURATION, 30),
        (Type.STRINGS, "a"),
        (Type.STRINGS, ["a", 1]),
        (Type.STRING, {"nested": "table"}),
    ],
)
def test_a_settings_files_value_of_another_type_is_an_error(kind: Type, value: object) -> None:
    with pytest.raises(MalformedValueError):
        parse_toml(Setting(name="x", type=kind, help=""), value)


def test_a_rows_choices_are_checked_for_every_source() -> None:
    row = Setting(name="log-level", choices=("INFO", "WARN"), help="")
    assert parse_text(row, "warn") == "WARN"
    with pytest.raises(MalformedValueError):
        parse_toml(row, "shout")
