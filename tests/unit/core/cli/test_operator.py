"""What operators type."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.cli import operator
from connect_proxy.cli.commands import logs, reload, set_log_level, start, status, stop, systemd
from connect_proxy.cli.commands.status import duration, last_exit
from connect_proxy.cli.main import main
from connect_proxy.cli.operator import ROWS_OF_MANY, flags_first
from connect_proxy.errors import AgentNotRunningError, UnknownProxyError, UsageError
from connect_proxy.managed.logs.files import LogFiles
from connect_proxy.managed.state_file import DataDirectory, ProxyRecord


@pytest.mark.parametrize(
    ("words", "sorted_words"),
    [
        (["web", "-f"], ["-f", "web"]),
        (["web", "-n", "5", "-f"], ["-n", "5", "-f", "web"]),
        (["-n=5", "web"], ["-n=5", "web"]),
        (["web", "-data-dir"], ["-data-dir", "web"]),
        (["--", "-web"], ["-web"]),
    ],
)
def test_flags_may_follow_the_id(words: list[str], sorted_words: list[str]) -> None:
    assert flags_first(words, logs.ROWS) == sorted_words


@given(st.lists(st.sampled_from(["web", "db", "-all", "-data-dir", "/d", "-data-dir=/d"])))
def test_no_word_is_lost(words: list[str]) -> None:
    assert sorted(flags_first(words, ROWS_OF_MANY)) == sorted(words)


@pytest.mark.parametrize("words", [[], ["web", "db"], ["web", "-all"]])
def test_it_is_one_id_or_all(words: list[str]) -> None:
    with pytest.raises(UsageError, match="start needs one proxy's id, or -all"):
        start.execute(words)


def test_a_log_level_needs_a_level_and_a_proxy() -> None:
    with pytest.raises(UsageError, match="needs a level"):
        set_log_level.execute([])
    with pytest.raises(UsageError, match="needs one proxy's id, or -all"):
        set_log_level.execute(["DEBUG"])


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match='does not take the word "web"'):
        reload.execute(["web"])
    with pytest.raises(UsageError, match="takes one id"):
        status.execute(["web", "db"])
    with pytest.raises(UsageError, match='"web" is no unit; there are agent, server, sidecar'):
        systemd.execute(["web"])


def test_only_what_needs_no_agent_works_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = DataDirectory(path=tmp_path)
    directory.lock()
    directory.write(
        {"web-proxy": ProxyRecord(id="web-proxy", service_id="web", service_name="web", backend="b")}
    )
    directory.unlock()
    where = ["-data-dir", str(tmp_path)]
    with pytest.raises(AgentNotRunningError, match="no agent runs on the data directory"):
        start.execute(["-all", *where])
    assert stop.execute(["-all", *where]) == 0
    said = capsys.readouterr()
    assert (said.out, "by its state file" in said.err) == ("stop: web-proxy\n", True)
    assert status.execute(where) == 0
    assert "held" in capsys.readouterr().out
    with pytest.raises(UnknownProxyError, match="there are web-proxy"):
        status.execute(["nope", *where])
    with pytest.raises(UnknownProxyError, match="there are web-proxy"):
        stop.execute(["nope", *where])


@pytest.mark.parametrize(
    "words", [["status"], ["status", "-format", "json"], ["stop", "-all"], ["stop", "x"], ["logs"]]
)
def test_a_directory_that_no_agent_ever_used_is_an_error_and_is_not_made(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistyped = tmp_path / "no-such"
    assert main([*words, "-data-dir", str(mistyped)]) == 1
    said = capsys.readouterr()
    assert (said.out, "give " in said.err, str(mistyped) in said.err) == ("", True, True)
    assert not mistyped.exists()


@pytest.mark.parametrize(
    ("last_exit", "written", "said"),
    [
        (3, "line before\nconnect-proxy: workers is 'x'; give a number\n", "workers is 'x'; give a number"),
        (3, "a line of another program\n", ""),
        (3, "", ""),
        (-9, "connect-proxy: of an end before\n", ""),
        (0, "connect-proxy: of an end before\n", ""),
    ],
)
def test_why_a_proxy_says_it_ended_is_its_last_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    last_exit: int,
    written: str,
    said: str,
) -> None:
    directory = DataDirectory(path=tmp_path / "data")
    directory.lock()
    record = ProxyRecord(
        id="web-proxy", service_id="web", service_name="web", backend="builtin", last_exit=last_exit
    )
    directory.write({"web-proxy": record})
    directory.unlock()
    LogFiles(folder=directory.logs_path, proxy_id="web-proxy").path("stderr").write_text(written)
    assert status.execute(["-format", "json", "-data-dir", str(directory.path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["last_error"] == said


def test_units_are_printed_with_this_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert systemd.execute(["agent"]) == 0
    out = capsys.readouterr().out
    assert f"ExecStart={systemd.program()} agent -config-dir /etc/connect-proxy.d" in out
    assert systemd.execute([]) == 0
    assert "connect-proxy@.service" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "-"), (0.4, "0s"), (59, "59s"), (192, "3m12s"), (18180, "5h03m"), (187200, "2d04h")],
)
def test_a_time_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_end_is_a_code_or_a_signal() -> None:
    assert [last_exit(status) for status in (None, 0, 3, -9)] == [
        "-",
        "exit code 0",
        "exit code 3",
        "signal 9",
    ]


def test_the_conventional_folder_is_used_if_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    said = operator.order("status", status.ROWS, [], usage="", summary="")
    assert said is not None
    assert said.folder == tmp_path
