"""When a file was made."""

import os
import time
from pathlib import Path

import pytest

from connect_proxy.managed.logs.birth import birth_of


def test_writing_to_a_file_does_not_make_it_younger(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    born = birth_of(path)
    if born is None:
        pytest.skip("this file system keeps no time of birth")
    assert abs(born - time.time()) < 3600
    os.utime(path, (0, 0))
    path.write_text("more")
    assert birth_of(path) == born


def test_what_is_not_there_was_never_born(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        birth_of(tmp_path / "nothing")
