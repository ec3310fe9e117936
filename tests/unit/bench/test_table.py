from bench.figure import FIGURES
from bench.reading import Reading
from bench.result import Result
from bench.table import table

KEYS = [figure.key for figure in FIGURES]


def filled(values: dict[str, dict[str, float]]) -> Result:
    result = Result(peers=list(values))
    for peer, figures in values.items():
        result.add(peer, Reading(values=figures), wanted=KEYS)
    return result


def test_each_ratio_stands_beside_its_goal() -> None:
    result = filled(
        {
            "builtin": {"new-connections": 1200.0, "p99-1": 0.8},
            "go": {"new-connections": 400.0, "p99-1": 0.5},
            "envoy": {"new-connections": 2400.0, "p99-1": 0.8},
        }
    )
    assert table(result).splitlines() == [
        "| figure | builtin | go | envoy | builtin / go | builtin / envoy |",
        "| --- | --- | --- | --- | --- | --- |",
        "| p99 in ms, 1 connection | 0.80 | 0.50 | 0.80 | **1.60** (≤ 1 missed by 60%) "
        "| 1.00 (≤ 1.2 met) |",
        "| new connections/s, 16 at a time | 1,200 | 400 | 2,400 | 3.00 (≥ 2.5 met) "
        "| **0.50** (≥ 0.6 missed by 17%) |",
    ]


def test_without_the_builtin_proxy_there_are_no_ratios() -> None:
    assert table(filled({"go": {"resident": 46.4}})).splitlines()[-1] == (
        "| MiB resident, one idle sidecar | 46 |"
    )
