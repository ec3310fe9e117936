"""Where state and control socket are if nobody says."""

from pathlib import Path

import pytest

from connect_proxy.errors import DataDirectoryError
from connect_proxy.managed.data_directory import (
    control_directory,
    default_data_directory,
    runtime_directory,
)
from connect_proxy.managed.state_file import DataDirectory


def test_systemd_comes_first_then_roots_folder_then_xdg() -> None:
    given = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/home/u", "XDG_STATE_HOME": "/s"}
    assert default_data_directory(given, uid=0) == Path("/var/lib/a")
    assert default_data_directory({}, uid=0) == Path("/var/lib/connect-proxy")
    assert default_data_directory({"XDG_STATE_HOME": "/s"}, uid=7) == Path("/s/connect-proxy")
    assert default_data_directory({"HOME": "/home/u"}, uid=7) == Path("/home/u/.local/state/connect-proxy")


def test_an_agent_without_a_data_directory_is_in_the_runtime_folder() -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": "/run/user/7"}, uid=7) == Path("/run/user/7/connect-proxy")
    assert runtime_directory({}, uid=0) == Path("/run/connect-proxy")
    assert runtime_directory({}, uid=7) == Path("/tmp/connect-proxy-7")


def test_commands_find_the_agent_that_there_is(tmp_path: Path) -> None:
    environment = {"STATE_DIRECTORY": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    durable, passing = tmp_path / "state", tmp_path / "run/connect-proxy"
    for folder in (durable, passing):
        folder.mkdir(parents=True)
    assert control_directory(environment, uid=7) == durable
    (passing / "control.sock").touch()
    assert control_directory(environment, uid=7) == passing
    (durable / "control.sock").touch()
    assert control_directory(environment, uid=7) == durable


def test_a_file_where_the_folder_has_to_be_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for where in (path, path / "below"):
        with pytest.raises(DataDirectoryError, match="is no folder, which the data directory has to be"):
            DataDirectory(path=where).lock()
