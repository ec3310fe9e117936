import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figure import FIGURES, Figure
from bench.reading import Reading
from bench.result import Result, verdict

RATE = Figure(key="rate", title="rate", digits=0, more_is_better=True, goals={"go": 1.3})
DELAY = Figure(key="delay", title="delay", digits=2, more_is_better=False, goals={"go": 0.4})


def test_the_median_of_the_rounds_stands_for_a_peer() -> None:
    result = Result(peers=["builtin", "go"])
    for value in (5.0, 900.0, 7.0):
        result.add("go", Reading(values={"throughput-1": value}), wanted=["throughput-1"])
    assert result.median(result.figures[0], "go") == 7.0


def test_figures_that_nobody_asked_for_are_left_out() -> None:
    result = Result(peers=["go"])
    result.add("go", Reading(values={"requests-1": 1.0, "p99-1": 2.0}), wanted=["p99-1"])
    assert [figure.key for figure in result.figures] == ["p99-1"]


def test_figures_come_in_the_order_of_the_table_however_they_were_measured() -> None:
    result = Result(peers=["go"])
    for key in ("resident", "throughput-1"):
        result.add("go", Reading(values={key: 1.0}), wanted=[key])
    assert [figure.key for figure in result.figures] == ["throughput-1", "resident"]


def test_a_complaint_says_whose_and_of_what_it_is() -> None:
    result = Result(peers=["go"])
    reading = Reading(values={"new-connections": 5.0}, trouble="Socket errors: read 3")
    result.add("go", reading, wanted=["new-connections"])
    assert result.troubles == ["go, new-connections: Socket errors: read 3"]


@pytest.mark.parametrize(
    ("figure", "ratio", "missed_by"),
    [
        (RATE, 1.3, 0.0),
        (RATE, 2.0, 0.0),
        (RATE, 1.17, 0.1),
        (DELAY, 0.4, 0.0),
        (DELAY, 0.1, 0.0),
        (DELAY, 0.5, 0.25),
    ],
)
def test_a_goal_is_a_least_or_a_most(figure: Figure, ratio: float, missed_by: float) -> None:
    found = verdict(figure, ratio, figure.goals["go"])
    assert found.missed_by == pytest.approx(missed_by)
    assert found.met is (missed_by == 0.0)


def test_a_ratio_is_judged_as_it_is_printed() -> None:
    assert verdict(RATE, 1.2951, 1.3).met
    assert not verdict(RATE, 1.2949, 1.3).met


@given(st.sampled_from(FIGURES), st.floats(0.01, 100))
def test_where_no_goal_is_set_none_is_missed(figure: Figure, ratio: float) -> None:
    assert verdict(figure, ratio, None).met


def test_every_figure_is_known_once() -> None:
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)
