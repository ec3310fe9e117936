from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.consul.fields import Fields, Place, sections
from connect_proxy.errors import AgentAnswerError

WHERE = Place("GET /v1/x")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def of(**values: Any) -> Fields:
    return Fields(values, WHERE)


def test_keys_are_compared_without_case_and_underscores() -> None:
    assert of(local_bind_port=1).number("LocalBindPort") == 1
    assert of(LOCALBINDPORT=1).number("LocalBindPort") == 1


def test_missing_and_null_are_the_zero_value() -> None:
    for fields in (of(), of(A=None)):
        assert fields.text("A", "fallback") == "fallback"
        assert fields.number("A", 3) == 3
        assert fields.flag("A") is False
        assert fields.texts("A") == ()
        assert fields.sections("A") == []
        assert dict(fields.opaque("A")) == {}
        assert fields.section("A").text("B") == ""


@pytest.mark.parametrize("value", [8080, "8080", 8080.0])
def test_a_whole_number_may_come_as_text_or_float(value: Any) -> None:
    assert of(A=value).number("A") == 8080


@pytest.mark.parametrize("value", [True, "x", 1.5, [], {}, float("nan"), float("inf")])
def test_anything_else_is_no_number(value: Any) -> None:
    with pytest.raises(AgentAnswerError, match=r"GET /v1/x has at 'A' .*, not a whole number"):
        of(A=value).number("A")


@pytest.mark.parametrize(("value", "meaning"), [(True, True), ("true", True), ("False", False)])
def test_a_boolean_may_come_as_text(value: Any, meaning: bool) -> None:
    assert of(A=value).flag("A") is meaning


def test_a_number_that_should_be_a_boolean_is_refused() -> None:
    with pytest.raises(AgentAnswerError, match="true or false"):
        of(A=1).flag("A")


def test_a_number_that_should_be_a_text_is_taken_as_one() -> None:
    assert of(A=7).text("A") == "7"


def test_a_time_with_nanoseconds_keeps_its_zone() -> None:
    assert of(A="2026-11-22T00:00:01.123456789Z").moment("A") == datetime(
        2026, 11, 22, 0, 0, 1, 123456, tzinfo=UTC
    )


@pytest.mark.parametrize("value", ["", "yesterday", "2026-99-01T00:00:00Z"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(AgentAnswerError, match="RFC 3339"):
        of(A=value).moment("A")


def test_a_message_names_the_place_inside_the_answer() -> None:
    with pytest.raises(AgentAnswerError, match=r"'Proxy\.Upstreams\[1\]\.LocalBindPort' 'x'"):
        of(Proxy={"Upstreams": [{}, {"LocalBindPort": "x"}]}).section("Proxy").sections("Upstreams")[
            1
        ].number("LocalBindPort")


def test_a_message_never_shows_what_is_inside_an_object() -> None:
    with pytest.raises(AgentAnswerError) as failure:
        of(A={"key": "TOP-SECRET"}).text("A")
    assert "TOP-SECRET" not in str(failure.value)


def test_an_opaque_object_keeps_its_spelling_and_is_read_only() -> None:
    opaque = of(Config={"my_Key": [1, {"b": 2}]}).opaque("config")
    assert opaque["my_Key"][1]["b"] == 2
    with pytest.raises(TypeError):
        opaque["x"] = 1  # type: ignore[index]


@given(json_values)
def test_any_json_is_read_or_refused_by_name(value: Any) -> None:
    def read(fields: Fields) -> None:
        for name in ("A", "B"):
            for reader in (
                fields.text,
                fields.number,
                fields.flag,
                fields.moment,
                fields.texts,
                fields.sections,
                fields.section,
                fields.opaque,
                fields.has,
            ):
                try:
                    reader(name)
                except AgentAnswerError as exc:
                    assert "GET /v1/x" in str(exc)  # noqa: PT017

    read(of(A=value))
    try:
        for fields in sections(value, WHERE):
            read(fields)
    except AgentAnswerError as exc:
        assert "GET /v1/x" in str(exc)  # noqa: PT017
