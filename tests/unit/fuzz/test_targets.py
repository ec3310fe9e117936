"""The fuzzing targets keep working, and hold for a few inputs; ``make fuzz`` is the long run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.agent_stream import agent
from fuzz.status_listener import listener
from fuzz.targets import TARGETS


@pytest.fixture(scope="module", autouse=True)
def closed_in_the_end() -> Iterator[None]:
    yield
    for opened in (listener, agent):
        if opened.cache_info().currsize:
            opened().close()
            opened.cache_clear()


@pytest.mark.parametrize("name", TARGETS)
def test_well_formed_inputs_do_no_harm(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_the_beginning_of_a_well_formed_input_does_no_harm(name: str) -> None:
    for seed in TARGETS[name].seeds():
        for length in range(0, min(len(seed), 200), 7):
            TARGETS[name].run(seed[:length])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20)
@given(data=st.binary(max_size=200))
def test_noise_does_no_harm(name: str, data: bytes) -> None:
    TARGETS[name].run(data)
