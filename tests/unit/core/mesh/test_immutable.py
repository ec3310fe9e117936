"""Values that nobody can change."""

import json
from dataclasses import dataclass

import pytest

from connect_proxy.mesh.immutable import EMPTY, frozen, thawed


def test_the_empty_mapping_is_a_default_of_a_dataclass_and_equal_to_nothing_given() -> None:
    @dataclass(frozen=True)
    class Value:
        config: object = EMPTY

    assert Value().config == {}
    assert json.dumps(thawed(Value().config)) == "{}"
    with pytest.raises(KeyError, match="'protocol'"):
        EMPTY["protocol"]


def test_a_frozen_value_cannot_be_changed_at_any_depth() -> None:
    value = frozen({"limits": [{"max": 3}]})
    with pytest.raises(TypeError):
        value["limits"][0]["max"] = 4


def test_thawing_gives_back_what_was_frozen() -> None:
    value = {"limits": [{"max": 3}], "name": "db", "none": None}
    assert thawed(frozen(value)) == value
