"""Managed proxies that cannot be started now, or must not run any more."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from connect_proxy.supervisor.identity import identity_of
from support.applications import TcpServer, echo_server
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ManagedHost, echoes, wait_for_traffic
from support.ports import free_port
from support.processes import Program, run, wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


def redis_and_web(host: ManagedHost, echo: TcpServer) -> int:
    port = free_port()
    upstreams = [{"destination_name": "redis", "local_bind_port": port}]
    host.service("redis", echo.port, {"proxy": {}})
    host.service("web", free_port(), {"proxy": {"upstreams": upstreams}})
    return port


def test_one_that_dies_while_consul_is_away_waits_for_its_token_and_starts_with_it(
    tmp_path: Path, echo: TcpServer
) -> None:
    with (
        RealConsul(folder=tmp_path / "consul", acl=True, durable=True) as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host", token=consul.token) as host,
    ):
        intention = {"SourceName": "*", "DestinationName": "*", "Action": "allow"}
        consul.api.post("/v1/connect/intentions", intention)
        port = redis_and_web(host, echo)
        agent = host.start()
        wait_for_traffic(port)
        state = json.loads((host.data / "proxy/state.json").read_text())
        before = host.pids()
        agent.end()
        consul.stop()
        host.start()
        assert host.pids() == before
        os.kill(before["web-proxy"], signal.SIGKILL)
        wait_until(lambda: host.row("web-proxy")["last_error"], "the reason why it waits")
        row = host.row("web-proxy")
        assert (row["state"], row["pid"], row["restarts"]) == ("backoff", None, 0)
        assert "Consul does not answer, so its token cannot be read back" in row["last_error"]
        restart: list[str | Path] = [
            connect_proxy_program(),
            "restart",
            "redis-proxy",
            "-data-dir",
            host.data,
        ]
        refused = run(restart, env=host.environment)
        assert refused.returncode == 6
        assert "'redis-proxy' cannot be started now" in refused.stderr
        assert host.pids() == {**before, "web-proxy": None}
        consul.restart()
        wait_until(lambda: host.row("web-proxy")["state"] == "running", "its start", deadline_s=60)
        wait_for_traffic(port)
        now = json.loads((host.data / "proxy/state.json").read_text())
        for name in before:
            for key in ("token_accessor", "token_hash"):
                assert now["proxies"][name][key] == state["proxies"][name][key]
        assert host.row("redis-proxy")["pid"] == before["redis-proxy"]


def test_an_agent_that_waits_for_a_consul_that_hangs_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        definitions, data = tmp_path / "definitions", tmp_path / "data"
        definitions.mkdir(mode=0o755)
        (definitions / "web.hcl").write_text('service { name = "web" port = 8080 connect { proxy {} } }')
        argv: list[str | Path] = [connect_proxy_program(), "agent", "-config-dir", definitions]
        argv += ["-data-dir", data, "-api-addr", "127.0.0.1:0"]
        argv += ["-http-addr", f"127.0.0.1:{hanging.getsockname()[1]}"]
        with Program(argv, folder=tmp_path, name="agent") as agent:
            hanging.settimeout(60)
            connection, _ = hanging.accept()  # it asks, and gets no answer
            with connection:
                agent.send(signal.SIGTERM)
                assert agent.wait() == 0
            hanging.setblocking(False)
            with pytest.raises(BlockingIOError):
                hanging.accept()  # nor has it gone on asking for anything else
            assert agent.stdout == ""  # it never was up
            assert "told to end before all was up" in agent.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the refusal is for root")
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_what_must_not_run_as_root_any_more_is_drained_and_stopped(
    tmp_path: Path, echo: TcpServer, how: str
) -> None:
    with (
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        port = redis_and_web(host, echo)
        agent = host.start()
        wait_for_traffic(port)
        before = host.pids()
        host.write("agent.hcl", host.port_ranges())
        if how == "restart":
            agent.end()
            dry = run(host.argv("-dry-run"), env=host.environment).stdout
            host.start()
        else:
            dry = host.command("reload", "-dry-run")
            assert echoes(port)
            assert host.command("reload") == dry
        assert [line.split(":")[0] for line in dry.splitlines()] == [
            "- redis-proxy (refused",
            "- web-proxy (refused",
        ]
        for row in host.status():
            assert (row["state"], row["pid"]) == ("refused", None)
            assert "allow_managed_root = true" in row["last_error"]
        assert [pid for pid in before.values() if identity_of(pid)] == []
        assert (
            run(
                [connect_proxy_program(), "start", "-all", "-data-dir", host.data], env=host.environment
            ).returncode
            == 1
        )


@pytest.mark.parametrize("address", ["localhost", "0.0.0.0"])
def test_a_dry_run_and_the_next_start_agree_wherever_the_api_listens(
    tmp_path: Path, echo: TcpServer, address: str
) -> None:
    with (
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        api = ["-api-addr", f"{address}:{host.api_port}"]
        host.service("redis", echo.port, {"proxy": {"command": ["/bin/sleep", "600"]}})
        agent = host.start(*api)
        wait_until(lambda: host.row("redis-proxy")["state"] == "running", "the daemon")
        before = host.pids()
        assert host.command("reload", "-dry-run") == "nothing changes\n"
        agent.end()
        assert run(host.argv(*api, "-dry-run"), env=host.environment).stdout == "nothing would change\n"
        host.start(*api)
        assert host.pids() == before
