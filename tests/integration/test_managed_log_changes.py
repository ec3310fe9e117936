"""The logs of managed proxies, written by real ones."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from connect_proxy.managed.logs.files import RotationPolicy
from connect_proxy.managed.logs.rotation import rotate_due
from connect_proxy.managed.state_file import DataDirectory
from support.agents import client_environment
from support.applications import echo_server
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ManagedHost, echoes, wait_for_traffic
from support.ports import free_port
from support.processes import Program, run, wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary

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
        wait_until(lambda: log.exists() and "run: ready" in log.read_text(), "a proxy that is ready")
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


def test_an_ordered_log_level_lasts_until_another_one_or_a_changed_file(tmp_path: Path) -> None:
    with (
        echo_server() as echo,
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        host.service("redis", echo.port, {"proxy": {}})
        host.service("jobs", free_port(), {"proxy": {"command": ["/bin/sleep", "600"]}})
        agent = host.start()
        log = host.data / "proxy/logs/redis-proxy-stderr.log"

        def restarted() -> str:
            """The level that it is started with."""
            host.command("restart", "redis-proxy")
            wait_until(lambda: host.row("redis-proxy")["certificate_expiry"], "what it says of itself")
            words = Path(f"/proc/{host.row('redis-proxy')['pid']}/cmdline").read_text().split("\0")
            return words[words.index("-log-level") + 1]

        wait_until(lambda: log.exists() and "run: ready" in log.read_text(), "a proxy that is ready")
        assert host.command("set-log-level", "redis-proxy", "debug") == "redis-proxy: DEBUG\n"
        assert restarted() == "DEBUG"
        agent.end()
        host.start()
        assert restarted() == "DEBUG"
        assert host.command("set-log-level", "redis-proxy", "default") == "redis-proxy: INFO\n"
        assert restarted() == "INFO"
        host.command("set-log-level", "redis-proxy", "warn")
        host.write("level.hcl", 'log_level = "DEBUG"')
        assert host.command("reload", "-dry-run") == "~ log_level (in place: INFO to DEBUG)\n"
        assert host.command("reload") == "~ log_level (in place: INFO to DEBUG)\n"
        assert "the log level is DEBUG now" in log.read_text().splitlines()[-1]
        assert restarted() == "DEBUG"
        host.command("stop", "redis-proxy")
        words = ["set-log-level", "redis-proxy", "error"]
        assert host.command(*words) == "redis-proxy: ERROR from its next start\n"


def test_an_order_in_the_first_moment_counts_and_an_adopted_proxy_follows_its_new_agents_level(
    tmp_path: Path,
) -> None:
    with (
        echo_server() as echo,
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        for name in ("redis", "web"):
            host.service(name, echo.port, {"proxy": {}})
        agent = host.start()
        assert host.command("set-log-level", "redis-proxy", "warn").startswith("redis-proxy: WARN")

        def changes(proxy_id: str) -> list[str]:
            """The levels that it took while it ran."""
            lines = (host.data / f"proxy/logs/{proxy_id}-stderr.log").read_text().splitlines()
            return [line.split()[-2] for line in lines if "the log level is" in line]

        wait_until(lambda: host.row("web-proxy")["certificate_expiry"], "a proxy that is up")
        wait_until(lambda: host.row("redis-proxy")["certificate_expiry"], "the other one")
        pids = host.pids()
        assert host.command("set-log-level", "redis-proxy", "trace") == "redis-proxy: TRACE\n"
        for level, seen in (("debug", ["DEBUG"]), ("info", ["DEBUG", "INFO"])):
            agent.end()
            agent = host.start("-log-level", level)
            wait_until(lambda: changes("web-proxy") == seen, "the new agent's level")  # noqa: B023
        assert host.pids() == pids
        assert changes("redis-proxy")[-1] == "TRACE"
        assert host.command("set-log-level", "redis-proxy", "default") == "redis-proxy: INFO\n"


def test_a_command_has_a_log_level_of_its_own_and_that_is_said(tmp_path: Path) -> None:
    with (
        echo_server() as echo,
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        host.service("redis", echo.port, {"proxy": {}})
        host.service("jobs", free_port(), {"proxy": {"command": ["/bin/sleep", "600"]}})
        host.start()
        log = host.data / "proxy/logs/redis-proxy-stderr.log"
        wait_until(lambda: log.exists() and "run: ready" in log.read_text(), "a proxy that is ready")
        for target, said in (("jobs-proxy", ""), ("-all", "redis-proxy: DEBUG\n")):
            words = ["set-log-level", target, "debug", "-data-dir", str(host.data)]
            done = run([connect_proxy_program(), *words], env=host.environment)
            assert (done.returncode, done.stdout) == (1, said)
            assert "'jobs-proxy' runs a command of its own" in done.stderr


def test_envoys_with_the_agents_xds_are_looked_after_too(tmp_path: Path) -> None:
    definitions, runtime, programs = (tmp_path / name for name in ("definitions", "run", "bin"))
    definitions.mkdir(mode=0o755)
    runtime.mkdir(mode=0o700)
    programs.mkdir()
    (programs / "envoy").symlink_to(envoy_binary())
    port = free_port()
    with echo_server() as echo:
        upstreams = [{"destination_name": "redis", "local_bind_port": port}]
        services = [
            {"name": "redis", "port": echo.port, "connect": {"proxy": {}}},
            {"name": "web", "port": 1, "connect": {"proxy": {"upstreams": upstreams}}},
        ]
        connect = {"proxy": {"allow_managed_root": True}, "proxy_defaults": {"backend": "envoy"}}
        (definitions / "all.json").write_text(json.dumps({"connect": connect, "services": services}))
        (definitions / "all.json").chmod(0o644)
        path = f"{programs}:{os.environ['PATH']}"
        # STATE_DIRECTORY: in the place of root's own folder, where another agent may be.
        environment = client_environment(
            XDG_RUNTIME_DIR=str(runtime), STATE_DIRECTORY=str(tmp_path), PATH=path
        )
        ports = ["-http-port", "0", "-grpc-port", "0", "-dns-port", "-1"]
        program = connect_proxy_program()
        argv: list[str | Path] = [program, "agent", "-dev", *ports, "-config-dir", definitions]
        with Program(argv, folder=tmp_path, env=environment, name="agent") as agent:
            wait_for_traffic(port)

            def command(*words: str) -> str:
                done = run([program, *words], env=environment)
                assert done.returncode == 0, done.stderr
                return done.stdout

            def known() -> list[tuple[str, bool]]:
                rows = json.loads(command("status", "-format", "json"))
                return [(row["state"], (row["certificate_expiry"] or "") > "2020") for row in rows]

            wait_until(lambda: known() == [("running", True)] * 2, "what both say of themselves")
            assert command("set-log-level", "web-proxy", "debug") == "web-proxy: DEBUG\n"
            agent.wait_for(lambda: "[debug]" in lines_of("web-proxy", agent.stderr), "Envoy's own lines")
            before = len(agent.stderr)
            command("restart", "web-proxy")
            agent.wait_for(
                lambda: "[debug]" in lines_of("web-proxy", agent.stderr[before:]), "the level again"
            )
            assert "[debug]" not in lines_of("redis-proxy", agent.stderr)
            for level in ("info", "debug", "warn"):  # it starts: neither it nor its Envoy listens yet
                command("restart", "web-proxy")
                command("set-log-level", "web-proxy", level)
            wait_until(lambda: known()[1] == ("running", True), "its start")
            command("stop", "web-proxy")
            assert not echoes(port)
            agent.end()


def lines_of(proxy_id: str, text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.startswith(f"[{proxy_id}]"))
