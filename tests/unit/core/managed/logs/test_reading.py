"""Logs are read on through rotation and truncation."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.errors import UnknownProxyError
from connect_proxy.managed.logs.files import RotationPolicy, folder_lock, rotate_in_place
from connect_proxy.managed.logs.reading import CHUNK, LogTail, log_paths
from connect_proxy.managed.state_file import DataDirectory, ProxyRecord


def numbered(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last + 1))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("count", [0, 1, 3, 9, 10, 11, 500])
def test_it_begins_with_the_last_lines(tmp_path: Path, count: int) -> None:
    path = tmp_path / "web.log"
    path.write_text(numbered(1, 10))
    expected = [f"line {number}" for number in range(max(11 - count, 1), 11)]
    assert list(LogTail(path, last=count).lines()) == expected


def test_the_last_lines_of_a_file_larger_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("\n".join("x" * 100 + str(number) for number in range(3 * CHUNK // 100)) + "\n")
    assert list(LogTail(path, last=1500).lines()) == path.read_text().splitlines()[-1500:]


@given(st.lists(st.text(alphabet="ab\n", max_size=5), max_size=8), st.integers(0, 6))
def test_last_lines_are_those_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "web.log"
    text = "".join(parts)
    path.write_text(text)
    lines = text.split("\n")[:-1] if text.endswith("\n") or not text else text.split("\n")
    assert list(LogTail(path, last=count).lines(ended=True)) == lines[len(lines) - min(count, len(lines)) :]


def test_what_is_added_is_read_once_and_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text(numbered(1, 2))
    tail = LogTail(path, last=0)
    assert list(tail.lines()) == []
    append(path, "line 3\nli")
    assert list(tail.lines()) == ["line 3"]
    append(path, "ne 4\n")
    assert list(tail.lines()) == ["line 4"]
    assert list(tail.lines()) == []


def test_a_file_that_was_renamed_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text(numbered(1, 2))
    tail = LogTail(path, last=1)
    assert list(tail.lines()) == ["line 2"]
    append(path, numbered(3, 4))
    path.rename(tmp_path / "web.log.1")  # as logrotate does
    append(path, numbered(5, 6))
    assert list(tail.lines()) == ["line 3", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize("unread", ["", numbered(3, 4)])
def test_a_head_that_was_copied_and_collapsed_is_neither_lost_nor_repeated(
    tmp_path: Path, unread: str
) -> None:
    path = tmp_path / "web.log"
    path.write_text(numbered(1, 2))
    tail = LogTail(path, last=0)
    assert list(tail.lines()) == []
    append(path, unread)
    # What fallocate(COLLAPSE_RANGE) leaves, where file systems have it: the same file, its head gone.
    content = path.read_bytes()
    head = content[: len(numbered(1, 2)) + len(unread)]
    path.with_name("web.log.1").write_bytes(head)
    path.write_bytes(content[len(head) :])
    append(path, numbered(5, 5))
    assert list(tail.lines()) == [*unread.splitlines(), "line 5"]


def test_a_file_that_was_cut_off_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text(numbered(1, 9))
    tail = LogTail(path, last=0)
    assert list(tail.lines()) == []
    path.write_text("new\n")
    assert list(tail.lines()) == ["new"]


def test_a_file_that_appears_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "web.log", last=None)
    assert list(tail.lines()) == []
    append(tmp_path / "web.log", numbered(1, 1))
    assert list(tail.lines()) == ["line 1"]


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    folder = DataDirectory(path=tmp_path)
    folder.lock()
    folder.write(
        {"web-proxy": ProxyRecord(id="web-proxy", service_id="web", service_name="web", backend="b")}
    )
    for name in (
        "web-proxy-stderr.log",
        "web-proxy-stdout.log",
        "db-proxy-stderr.log",
        "web-proxy-stderr.log.1",
    ):
        (folder.logs_path / name).write_text("x\n")
    return folder


def test_without_an_id_all_are_read_and_with_one_its_two(directory: DataDirectory) -> None:
    assert sorted(log_paths(directory)) == ["db-proxy-stderr", "web-proxy-stderr", "web-proxy-stdout"]
    assert sorted(log_paths(directory, "web-proxy")) == ["web-proxy-stderr", "web-proxy-stdout"]


def test_an_unknown_id_is_named_with_the_known_ones(directory: DataDirectory) -> None:
    with pytest.raises(UnknownProxyError, match="'nope'; there are web-proxy"):
        log_paths(directory, "nope")


def rename_away(path: Path, rotated: int) -> None:
    """A rotation by renaming, as whole for a follower as one in place is."""
    with folder_lock(path.parent, fcntl.LOCK_EX):
        for number in range(rotated, 0, -1):
            path.with_name(f"{path.name}.{number}").rename(path.with_name(f"{path.name}.{number + 1}"))
        path.rename(path.with_name(f"{path.name}.1"))


@pytest.mark.parametrize("rename", [True, False], ids=["renamed", "in place"])
def test_a_follower_misses_and_repeats_nothing_however_often_the_log_is_rotated(
    tmp_path: Path, rename: bool
) -> None:
    path, policy = tmp_path / "web.log", RotationPolicy(kept=1000)
    code = """
import os, sys
for number in range(20000):
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for part in range(2):
        os.write(descriptor, b"line %d\\n" % (2 * number + part))
    os.close(descriptor)
"""
    read: list[str] = []
    tail = LogTail(path, last=None)
    lossless, rotations, over = True, 0, threading.Event()

    def rotate() -> None:
        nonlocal lossless, rotations
        while not over.is_set():
            if path.exists() and path.stat().st_size > 16384:
                if rename:
                    rename_away(path, rotations)
                else:
                    lossless = rotate_in_place(path, policy) and lossless
                rotations += 1

    rotator = threading.Thread(target=rotate)
    rotator.start()
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as writer:
        while writer.poll() is None:
            read += tail.lines()
    over.set()
    rotator.join()
    read += tail.lines(ended=True)
    assert rotations
    if lossless:
        assert read == [f"line {number}" for number in range(40000)]


def test_a_renamed_file_is_followed_until_its_writer_has_made_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "web-proxy-stdout.log"
    path.write_text("one\n")
    tail = LogTail(path, last=None)
    assert list(tail.lines()) == ["one"]
    rotated = path.rename(tmp_path / "web-proxy-stdout.log.1")
    assert list(tail.lines()) == []
    with rotated.open("a") as writer:
        writer.write("two\n")
    assert list(tail.lines()) == ["two"]
    with rotated.open("a") as writer:
        writer.write("three\n")
    path.write_text("four\n")
    assert list(tail.lines()) == ["three", "four"]
