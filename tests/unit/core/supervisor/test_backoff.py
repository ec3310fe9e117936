"""The pauses between starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.supervisor.backoff import Backoff


def test_three_starts_are_free_then_the_pause_doubles_up_to_a_minute() -> None:
    backoff = Backoff(jitter=0)
    assert [backoff.pause_s(start, 0.5) for start in range(1, 11)] == [0, 0, 0, 2, 4, 8, 16, 32, 60, 60]


@given(start=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_and_only_by_its_share(start: int, chance: float) -> None:
    full = Backoff(jitter=0).pause_s(start, 0)
    assert full * 0.9 <= Backoff(jitter=0.1).pause_s(start, chance) <= full <= 60


@pytest.mark.parametrize("wrong", [{"free_starts": -1}, {"base_s": 0}, {"cap_s": 1}, {"jitter": 1.1}])
def test_figures_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"back-off|jitter"):
        Backoff(**wrong)  # type: ignore[arg-type]  # that is the point
