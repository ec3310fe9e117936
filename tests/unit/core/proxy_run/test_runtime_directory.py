"""A run's own directory, and what killed runs left."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from connect_proxy.proxy_run.runtime_directory import made, runtime_directory, sweep


def test_the_runtime_directory_is_systemds_then_the_users_then_temporary() -> None:
    with tempfile.TemporaryDirectory() as short:  # pytest's own are too long for sockets
        systemd, xdg = Path(short, "s"), Path(short, "x")
        systemd.mkdir()
        xdg.mkdir()
        both = {"RUNTIME_DIRECTORY": f"{systemd}:/elsewhere", "XDG_RUNTIME_DIR": str(xdg)}
        assert Path(runtime_directory(both)).parent == systemd
        assert Path(runtime_directory({"XDG_RUNTIME_DIR": str(xdg)})).parent == xdg
    missing = {"XDG_RUNTIME_DIR": "/nowhere"}
    assert runtime_directory(missing) != runtime_directory(missing)
    assert not Path(runtime_directory(missing)).exists()


def test_the_runtime_directory_leaves_room_for_a_sockets_name(tmp_path: Path) -> None:
    for length in range(20, 110):
        long = tmp_path / ("d" * length)
        long.mkdir()
        path = runtime_directory({"XDG_RUNTIME_DIR": str(long)})
        assert len(os.fsencode(f"{path}/admin-and-more.sock")) <= 107


def test_it_is_for_its_owner_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / f"connect-proxy-{os.getpid()}-01234567"
    with made(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "xds.sock").touch()
    assert not path.exists()


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    dead = tmp_path / f"connect-proxy-{child.pid}-01234567"
    alive = tmp_path / f"connect-proxy-{os.getpid()}-01234567"
    others = tmp_path / "connect-proxy-something-else"
    for path in (dead, alive, others):
        path.mkdir()
    (dead / "xds.sock").touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, others])


def test_a_run_whose_process_cannot_be_seen_keeps_its_own(tmp_path: Path) -> None:
    """In another container, which shares the place: there its pid is one that here nobody has."""
    child = subprocess.Popen(["true"])
    child.wait()
    path = tmp_path / f"connect-proxy-{child.pid}-01234567"
    with made(str(path)):
        (path / "xds.sock").touch()
        sweep(tmp_path)
        assert (path / "xds.sock").exists()
    assert not path.exists()


@pytest.mark.parametrize("name", ["connect-proxy-0-01234567", "connect-proxy-12-xyz", "connect-proxy-1"])
def test_only_what_has_a_runs_name_is_looked_at(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert (tmp_path / name).is_dir()
