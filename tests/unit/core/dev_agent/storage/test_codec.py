"""Frozen dataclasses as JSON and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.records import ProxyRecord, ServiceRecord, TaggedAddress, UpstreamRecord
from connect_proxy.dev_agent.storage.codec import decoded, encoded
from connect_proxy.mesh.immutable import EMPTY, frozen
from connect_proxy.secret import NO_SECRET, Secret


@dataclass(frozen=True, kw_only=True)
class Inner:
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    share: float = 0.5
    flag: bool = False
    moment: datetime | None = None
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = EMPTY
    opaque: Any = None
    token: Secret = NO_SECRET


MOMENT = datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
upstreams = st.builds(
    UpstreamRecord, destination_name=st.text(), config=st.none() | st.dictionaries(st.text(), json_values)
)
services = st.builds(
    ServiceRecord,
    id=st.text(),
    name=st.text(),
    tags=st.lists(st.text(), max_size=2).map(tuple),
    meta=st.dictionaries(st.text(), st.text(), max_size=2),
    port=st.integers(),
    native=st.booleans(),
    tagged_addresses=st.dictionaries(
        st.text(), st.builds(TaggedAddress, address=st.text(), port=st.integers()), max_size=2
    ),
    proxy=st.builds(
        ProxyRecord,
        config=st.none() | st.dictionaries(st.text(), json_values, max_size=2),
        upstreams=st.lists(upstreams, max_size=2).map(tuple),
    ),
)


def through_json(value: Any) -> Any:
    return decoded(type(value), json.loads(json.dumps(encoded(value))))


@given(services)
def test_a_service_comes_back_as_it_was(service: ServiceRecord) -> None:
    assert encoded(through_json(service)) == encoded(service)


def test_every_kind_of_field_comes_back() -> None:
    value = Outer(
        name="é\ud800",
        share=1,
        flag=True,
        moment=MOMENT,
        inner=Inner(number=-1),
        many=(Inner(number=2),),
        named=frozen({"a": Inner(number=3)}),
        opaque=frozen({"a": [1, {"b": None}]}),
    )
    assert through_json(value) == value
    assert through_json(Outer(name="")) == Outer(name="")


def test_a_secret_is_left_out_and_comes_back_empty() -> None:
    value = Outer(name="a", token=Secret("5e1f-t0ken"))
    assert "5e1f" not in json.dumps(encoded(value))
    assert "token" not in encoded(value)
    assert through_json(value).token == NO_SECRET


GOOD = encoded(Outer(name="a", moment=MOMENT))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": 1}, ".name: not str: 1"),
        ({"flag": 1}, ".flag: not bool: 1"),
        ({"share": True}, ".share: not float: True"),
        ({"inner": {"number": True}}, ".inner.number: not int: True"),
        ({"inner": {}}, ".inner: unknown or missing: number"),
        ({"many": [{"number": "x"}]}, ".many[0].number: not int: 'x'"),
        ({"named": {"k": []}}, ".named.k: not dict"),
        ({"named": []}, ".named: not dict"),
        ({"many": {}}, ".many: not list"),
        ({"moment": "yesterday"}, "yesterday"),
        ({"moment": "2030-01-01T00:00:00"}, ".moment: not a moment"),
        ({"unheard": 1}, "it: unknown or missing: unheard"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_where(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at
        decoded(Outer, {**GOOD, **changes})
    assert problem in str(caught.value)
