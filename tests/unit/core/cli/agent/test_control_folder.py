"""The control socket's folder, where there is no data directory, is nobody else's."""

import os
import socket
import stat
from pathlib import Path

import pytest

from connect_proxy.cli.agent.control_folder import control_folder
from connect_proxy.errors import ConfigurationError


def folder(runtime: Path) -> Path | None:
    return control_folder({"XDG_RUNTIME_DIR": str(runtime)}, uid=os.geteuid())


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert made == tmp_path / "connect-proxy"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert folder(tmp_path) == made


def test_one_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "connect-proxy").mkdir()
    (tmp_path / "connect-proxy").chmod(0o755)
    with pytest.raises(ConfigurationError, match="is open to other users"):
        folder(tmp_path)


def test_a_link_to_somewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "connect-proxy").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="is open to other users"):
        folder(tmp_path)


def test_one_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="set XDG_RUNTIME_DIR to another"):
        folder(tmp_path / "file")


def test_the_socket_of_another_agent_is_left_alone(tmp_path: Path) -> None:
    made = folder(tmp_path)
    assert made is not None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(made / "control.sock"))
        other.listen()
        assert folder(tmp_path) is None
    assert folder(tmp_path) == made
