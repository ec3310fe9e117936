import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.consul.blocking_query import Backoff, Cursor, Pace, client_timeout_s, wait_text
from connect_proxy.errors import ConfigurationError

indexes = st.integers(min_value=0, max_value=2**64)
seconds = st.floats(min_value=0.001, max_value=1000)


def test_the_first_question_does_not_block() -> None:
    assert Cursor().index == 0


@given(indexes)
def test_after_the_first_answer_its_index_is_blocked_on(answered: int) -> None:
    assert Cursor().after(answered).index == max(1, answered)


@given(indexes, indexes)
def test_an_index_that_went_back_starts_over(known: int, answered: int) -> None:
    cursor = Cursor(known).after(answered)
    assert (cursor.index == 0) == (answered < known)


@given(st.lists(indexes))
def test_a_cursor_blocks_on_the_last_answer_or_not_at_all(answers: list[int]) -> None:
    cursor = Cursor()
    for answered in answers:
        cursor = cursor.after(answered)
        assert cursor.index in {0, max(1, answered)}


@given(st.floats(min_value=0, max_value=600))
def test_the_client_waits_longer_than_the_agent_ever_does(wait_s: float) -> None:
    assert client_timeout_s(wait_s) > wait_s * (1 + 1 / 16)


def test_a_wait_above_consuls_ceiling_is_lowered_to_it() -> None:
    assert wait_text(3600) == "600000ms"
    assert client_timeout_s(3600) < 700


@pytest.mark.parametrize(
    ("wait_s", "text"), [(60, "60000ms"), (0.25, "250ms"), (0.0001, "1ms"), (0, "1ms")]
)
def test_a_wait_is_written_in_whole_milliseconds_at_least_one(wait_s: float, text: str) -> None:
    assert wait_text(wait_s) == text


def test_without_a_failure_nothing_is_waited_for() -> None:
    assert Backoff().delay_s(0.99) == 0


def test_the_first_retry_is_quick_then_the_delay_doubles_up_to_the_ceiling() -> None:
    backoff, delays = Backoff(quick_s=0.1, first_s=1, ceiling_s=30), []
    for _ in range(8):
        backoff = backoff.failed()
        delays.append(backoff.longest_delay_s)
    assert delays == [0.1, 1, 2, 4, 8, 16, 30, 30]


@given(failures=st.integers(1, 10_000), random=st.floats(0, 1, exclude_max=True))
def test_jitter_stays_in_the_upper_half_of_the_delay(failures: int, random: float) -> None:
    backoff = Backoff(failures=failures)
    assert backoff.longest_delay_s / 2 <= backoff.delay_s(random) <= backoff.longest_delay_s <= 30


@given(st.integers(0, 100))
def test_a_success_resets_the_back_off(failures: int) -> None:
    assert Backoff(failures=failures).reset() == Backoff()


@pytest.mark.parametrize(
    ("quick_s", "first_s", "ceiling_s"),
    [(0, 1, 2), (2, 1, 3), (1, 3, 2), (1, 2, float("inf")), (float("nan"), 1, 2)],
)
def test_a_back_off_that_does_not_rise_is_refused(quick_s: float, first_s: float, ceiling_s: float) -> None:
    with pytest.raises(ConfigurationError, match="not rising"):
        Backoff(quick_s=quick_s, first_s=first_s, ceiling_s=ceiling_s)


def test_a_back_off_after_fewer_than_no_failures_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'-1'"):
        Backoff(failures=-1)


def test_a_burst_of_questions_is_free() -> None:
    pace = Pace(burst=3, per_second=2)
    for _ in range(3):
        pace = pace.asked(100.0)
    assert pace.pause_s == 0


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_beyond_the_burst_no_more_than_the_rate_is_asked(between: list[float]) -> None:
    pace, now = Pace(burst=5, per_second=4), 0.0
    for asked, gap in enumerate(between, start=1):
        pace = pace.asked(now)
        assert asked <= 5 + 4 * now + 1.0001
        now += gap + pace.pause_s


def test_a_question_now_and_then_is_never_held_back() -> None:
    pace = Pace(burst=1, per_second=1)
    for now in range(50):
        pace = pace.asked(float(now))
        assert pace.pause_s == 0
