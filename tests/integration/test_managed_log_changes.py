"""The logs of managed proxies, written by real ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from connect_proxy.managed.log_files import RotationPolicy
from connect_proxy.managed.log_rotation import rotate_due
from connect_proxy.managed.state_file import DataDirectory
from support.applications import echo_server
from support.managed_agent import ManagedHost
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration


def test_the_built_in_proxy_writes_to_a_new_file_once_its_log_is_rotated(tmp_path: Path) -> None:
    with (
        echo_server() as echo,
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        host.service("redis", echo.port, {"proxy": {}})
        host.start()
        log = host.data / "proxy/logs/redis-proxy-stderr.log"
        wait_until(lambda: "connect_proxy.run: ready" in log.read_text(), "a proxy that is ready")
        inode, pid = log.stat().st_ino, host.row("redis-proxy")["pid"]
        directory = DataDirectory(path=host.data)
        assert asyncio.run(rotate_due(directory, RotationPolicy(max_bytes=1))) == 1
        rotated = log.with_name(f"{log.name}.1")
        assert (rotated.stat().st_ino, log.stat().st_size) == (inode, 0)
        before = rotated.read_text()
        host.command("set-log-level", "redis-proxy", "debug")
        assert "the log level is DEBUG now" in host.command("logs", "redis-proxy")
        assert rotated.read_text() == before
        assert host.row("redis-proxy")["pid"] == pid
