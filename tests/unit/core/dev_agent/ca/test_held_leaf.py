"""When a leaf of the agent before is replaced."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.ca.held_leaf import SPREAD, release_time

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def test_it_is_after_the_grace_and_spread() -> None:
    times = [release_time(valid_before=NOW + DAY, now=NOW, grace=MINUTE, random=part) for part in (0, 0.5)]
    assert times == [NOW + MINUTE, NOW + MINUTE * (1 + SPREAD / 2)]


def test_a_leaf_near_its_end_does_not_wait_for_it() -> None:
    end = NOW + MINUTE
    assert release_time(valid_before=end, now=NOW, grace=MINUTE, random=0) == NOW + MINUTE / 2


@given(
    st.floats(0, 1, exclude_max=True),
    st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
    st.timedeltas(timedelta(0), timedelta(hours=1)),
)
def test_it_is_never_past_the_leafs_end(random: float, left: timedelta, grace: timedelta) -> None:
    at = release_time(valid_before=NOW + left, now=NOW, grace=grace, random=random)
    assert NOW <= at < NOW + left
