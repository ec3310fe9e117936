"""Weakly typed reading of opaque configuration."""

from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy_envoy.knobs import Knobs


def _knobs(value: Any) -> Knobs:
    return Knobs({"key": value}, where="Proxy.Config")


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (5, "5"), (1.5, "1.5"), (True, "1"), (False, "0"), (None, "default")]
)
def test_numbers_and_booleans_stand_in_for_text(value: Any, text: str) -> None:
    assert _knobs(value).text("key", "default") == text


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("5", 5), ("0x10", 16), (5.0, 5), (True, 1), (None, 7), ("", 7), ("-1", -1)],
)
def test_text_stands_in_for_numbers(value: Any, number: int) -> None:
    assert _knobs(value).integer("key", 7) == number


@pytest.mark.parametrize("value", ["5s", 1.5, [], {}])
def test_what_is_no_number_is_an_error_that_shows_it(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Proxy\.Config\.key .*not a whole number"):
        _knobs(value).integer("key", 7)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [("10s", 10_000), ("1m30s", 90_000), ("250ms", 250), ("1.5h", 5_400_000), (10**9, 1000), (None, None)],
)
def test_durations_are_gos(value: Any, milliseconds: int | None) -> None:
    assert _knobs(value).duration_ms("key") == milliseconds


@pytest.mark.parametrize("value", ["10", "s", "10x", "10s ", True, []])
def test_what_is_no_duration_is_an_error(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="duration"):
        _knobs(value).duration_ms("key")


def test_a_single_value_stands_for_a_list_of_one() -> None:
    assert _knobs("a").texts("key") == ("a",)
    assert _knobs(("a", 1)).texts("key") == ("a", "1")
    assert _knobs(None).texts("key") == ()


def test_a_nested_object_is_named_in_errors() -> None:
    nested = Knobs({"limits": {"max": "x"}}, where="Upstream db Config").mapping("limits")
    assert nested is not None
    with pytest.raises(ConfigurationError, match=r"Upstream db Config\.limits\.max"):
        nested.integer("max", 0)


def test_a_long_value_is_shortened_in_errors() -> None:
    with pytest.raises(ConfigurationError) as caught:
        _knobs("x" * 1000).integer("key", 0)
    assert len(str(caught.value)) < 250
