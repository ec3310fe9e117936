from pathlib import Path

import pytest

from bench.figure import FIGURES
from bench.load_tools import Tool, missing_tools, version_number
from bench.loads import LOADS, loads_for
from bench.run import PEERS, parsed_plan


def test_without_options_everything_is_measured_three_times() -> None:
    plan = parsed_plan([])
    assert plan.figures == tuple(figure.key for figure in FIGURES)
    assert (plan.peers, plan.rounds, plan.page) == (PEERS, 3, None)


@pytest.mark.parametrize(
    "words", [["--quick"], ["--only", "resident"], ["--peers", "go"], ["--variant", "x=y {service}"]]
)
def test_only_a_run_of_everything_is_written_down(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed_plan(["--write", "page.md", *words])
    assert "--write is for a run of everything" in capsys.readouterr().err
    assert parsed_plan(["--write", "page.md", "--rounds", "5"]).page == Path("page.md")


def test_a_quick_run_is_one_short_round() -> None:
    plan = parsed_plan(["--quick"])
    assert plan.rounds == 1
    assert plan.effort.seconds < parsed_plan([]).effort.seconds


def test_a_variant_is_a_name_and_a_command() -> None:
    assert parsed_plan(["--variant", "old=proxy -a=b {service}"]).variants == (
        ("old", "proxy -a=b {service}"),
    )


@pytest.mark.parametrize("words", [["--only", "speed"], ["--variant", "nameless"], ["--rounds", "0"]])
def test_a_command_line_without_sense_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed_plan(words)
    assert words[0] in capsys.readouterr().err


def test_every_figure_has_one_load_that_gives_it() -> None:
    for figure in FIGURES:
        assert len(loads_for([figure.key])) == 1


def test_one_load_may_give_two_figures_and_runs_once() -> None:
    assert len(loads_for(["requests-1", "p99-1"])) == 1
    assert len(loads_for([figure.key for figure in FIGURES])) == len(LOADS)


def test_missing_tools_are_named_with_the_line_that_installs_them() -> None:
    tools = [
        Tool(name="here", package="a", find=lambda: "/usr/bin/here", version_option="-v"),
        Tool(name="nginx", package="nginx-light", find=lambda: None, version_option="-v"),
        Tool(name="wrk", package="wrk", find=lambda: None, version_option="-v"),
    ]
    assert missing_tools(tools) == "missing: nginx, wrk; sudo apt-get install nginx-light wrk"
    assert missing_tools(tools[:1]) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer", "4.1.0"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("iperf 3.12 (cJSON 1.7.15)\nLinux", "3.12"),
        ("unknown", "of unknown version"),
    ],
)
def test_the_version_is_the_first_number_with_points(text: str, number: str) -> None:
    assert version_number(text) == number
