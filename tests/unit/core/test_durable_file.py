"""Files that are replaced whole."""

import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from connect_proxy.durable_file import DurableFile, unusable
from connect_proxy.errors import DataDirectoryError


def test_what_was_written_is_the_whole_file_and_nobody_elses(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state.json")
    file.reserve(100_000)
    file.replace("a longer text\n")
    assert file.path.read_text() == "a longer text\n"
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.replace("short\n")
    assert file.path.read_text() == "short\n"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc names descriptors")
def test_the_text_is_on_disk_before_it_has_its_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        done.append(f"fsync {name} of {os.fstat(descriptor).st_size if name != tmp_path.name else '-'}")
        fsync(descriptor)

    def seen_replace(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name} {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    DurableFile(tmp_path / "state.json").replace("text")
    assert done == [
        "fsync state.json.new of 4",
        "rename state.json.new state.json",
        f"fsync {tmp_path.name} of -",
    ]


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    for leftover in ("state.json.new", "state.json.spare"):
        (tmp_path / leftover).write_text("half of something that is longer than the text")
    file = DurableFile(tmp_path / "state.json")
    file.reserve(10)
    file.replace("text")
    assert file.path.read_text() == "text"


def test_a_text_larger_than_its_room_is_written_all_the_same(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state.json")
    file.reserve(1)
    file.replace("x" * 10_000)
    assert file.path.read_text() == "x" * 10_000


FULL_DISK = """
import resource, sys
from pathlib import Path
from connect_proxy.durable_file import DurableFile
from connect_proxy.errors import DataDirectoryError
file = DurableFile(Path(sys.argv[1]))
file.replace("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for attempt in (lambda: file.reserve(10_000), lambda: file.replace("x" * 10_000)):
    try:
        attempt()
    except DataDirectoryError as exc:
        print(exc)
file.reserve(900)
file.replace("after")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="room is reserved on Linux alone")
def test_no_room_is_told_before_anything_is_written_and_the_old_text_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"'{path}' in the data directory: File too large\n" * 2
    assert path.read_text() == "after"


def test_a_folder_that_is_gone_is_an_error_with_the_files_name(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "gone" / "state.json")
    with pytest.raises(DataDirectoryError, match=r"state.json' in the data directory: No such file"):
        file.replace("")


def test_who_lacks_the_permission_is_told_who_has_it(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    path = tmp_path / "nothing/there"
    said = str(unusable(path, PermissionError(errno.EACCES, "Permission denied")))
    assert said == (
        f"'{path}' in the data directory: Permission denied; run this as the user '{me}',"
        " or give another -data-dir"
    )


def test_what_no_other_user_can_help_names_none(tmp_path: Path) -> None:
    said = str(unusable(tmp_path, OSError(errno.ENOSPC, "No space left on device")))
    assert said == f"'{tmp_path}' in the data directory: No space left on device"
