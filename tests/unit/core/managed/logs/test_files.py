"""Logs that are rotated without losing a line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from connect_proxy.managed.logs import files as log_files
from connect_proxy.managed.logs.files import (
    LogFiles,
    RotationPolicy,
    is_due,
    rotate_in_place,
)

POLICY = RotationPolicy(max_bytes=1000, max_age_s=3600, kept=3)


def test_the_names_are_those_of_consuls_managed_proxies(tmp_path: Path) -> None:
    files = LogFiles(folder=tmp_path, proxy_id="web-proxy")
    os.close(files.open("stdout"))
    os.close(files.open("stderr"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "web-proxy-stderr.log",
        "web-proxy-stdout.log",
    ]
    assert stat.S_IMODE(files.path("stdout").stat().st_mode) == 0o600


def test_an_id_cannot_leave_the_folder(tmp_path: Path) -> None:
    assert LogFiles(folder=tmp_path, proxy_id="../../etc/x").path("stdout").parent == tmp_path


def test_two_ids_never_share_a_log(tmp_path: Path) -> None:
    one, other = (LogFiles(folder=tmp_path, proxy_id=name).path("stdout") for name in ("a/b", "a_b"))
    assert one != other


def test_lines_are_added_to_what_is_there(tmp_path: Path) -> None:
    files = LogFiles(folder=tmp_path, proxy_id="p")
    for line in (b"one\n", b"two\n"):
        descriptor = files.open("stdout")
        os.write(descriptor, line)
        os.close(descriptor)
    assert files.path("stdout").read_bytes() == b"one\ntwo\n"


def test_size_and_age_make_a_rotation_due(tmp_path: Path) -> None:
    path = tmp_path / "p-stdout.log"
    assert not is_due(path, POLICY)
    path.write_bytes(b"")
    assert not is_due(path, POLICY, now=path.stat().st_ctime + 10_000)
    path.write_bytes(b"x")
    assert not is_due(path, POLICY)
    assert is_due(path, POLICY, now=path.stat().st_ctime + 3600)
    path.write_bytes(b"x" * 1000)
    assert is_due(path, POLICY)


def test_the_age_of_a_log_that_was_never_rotated_counts_from_its_birth_not_from_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p-stdout.log"
    path.write_bytes(b"just now")
    written = path.stat().st_mtime
    monkeypatch.setattr(log_files, "birth_of", lambda _path: written - POLICY.max_age_s)
    assert is_due(path, POLICY, now=written)


def test_a_file_system_without_times_of_birth_counts_from_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "birth_of", lambda _path: None)
    path = tmp_path / "p-stdout.log"
    path.write_bytes(b"x")
    now = path.stat().st_mtime
    assert not is_due(path, POLICY, now=now + POLICY.max_age_s - 1)
    assert is_due(path, POLICY, now=now + POLICY.max_age_s)


def test_old_files_move_up_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(5):
        path.write_text(str(number))
        rotate_in_place(path, POLICY)
    assert path.read_text() == ""
    assert [(tmp_path / f"log.{number}").read_text() for number in (1, 2, 3)] == ["4", "3", "2"]
    assert not (tmp_path / "log.4").exists()


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 40_000, 81_920])
def test_a_rotation_in_place_keeps_every_byte(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log"
    content = os.urandom(size)
    path.write_bytes(content)
    rotate_in_place(path, POLICY)
    assert (tmp_path / "log.1").read_bytes() + path.read_bytes() == content


def test_a_writer_that_keeps_its_descriptor_loses_no_line_where_it_can_be_helped(
    tmp_path: Path,
) -> None:
    path, enough = tmp_path / "log", tmp_path / "enough"
    code = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number = 0
while number < 60000 or not os.path.exists(sys.argv[2]):
    os.write(descriptor, b"line %d\\n" % number)
    number += 1
print(number)
"""
    policy = RotationPolicy(kept=1000)
    argv = [sys.executable, "-c", code, str(path), str(enough)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        lossless, rotations = True, 0
        while writer.poll() is None:
            if path.exists() and path.stat().st_size > 65536:
                lossless = rotate_in_place(path, policy) and lossless
                rotations += 1
                enough.touch()
        assert writer.stdout is not None
        written = int(writer.stdout.read())
    rotated = sorted(tmp_path.glob("log.*"), key=lambda file: -int(file.suffix[1:]))
    lines = b"".join(file.read_bytes() for file in [*rotated, path]).splitlines()
    assert rotations
    if lossless:
        assert lines == [b"line %d" % number for number in range(written)]
    else:
        assert set(lines) <= {b"line %d" % number for number in range(written)} | {b""}
