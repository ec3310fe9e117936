from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import ConfigurationError
from connect_proxy.proxy_run.inheritance import READY, VARIABLE, announce, inheritance


def test_a_process_that_was_started_afresh_inherits_nothing() -> None:
    assert inheritance({}).listeners == {}
    announce(inheritance({}))


@given(st.text() | st.from_regex(r'\{"listeners": .{0,20}, "ready": .{0,5}\}'))
def test_what_names_no_descriptors_is_an_error(raw: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE):
        inheritance({VARIABLE: raw})


def test_the_process_before_is_told_by_the_descriptor_that_it_named() -> None:
    reading, writing = os.pipe()
    inherited = inheritance({VARIABLE: json.dumps({"listeners": {"public": reading}, "ready": writing})})
    assert inherited.listeners == {"public": reading}
    announce(inherited)
    assert os.read(reading, 100) == READY
    assert os.read(reading, 100) == b"", "its end is closed"
    os.close(reading)
