"""Managed proxies of ``connect-proxy agent`` in front of a real Consul, with real traffic."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.agents import client_environment
from support.applications import TcpServer, echo_server
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ROOT_ALLOWED, ManagedHost, echoes, port_ranges, wait_for_traffic
from support.ports import free_block, free_port
from support.processes import Program, run, wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary

pytestmark = pytest.mark.integration

DAEMON = Path(__file__).parents[2] / "docs/demo/mtls_daemon.py"


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path / "consul", grpc=True) as running:
        yield running


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


@pytest.fixture
def host(consul: RealConsul, tmp_path: Path) -> Iterator[ManagedHost]:
    programs = tmp_path / "bin"
    programs.mkdir()
    # pytest's own folders are so deep that the proxies' control sockets may not fit into their address.
    with (
        tempfile.TemporaryDirectory(prefix="cp-", ignore_cleanup_errors=True) as short,
        ManagedHost(consul=consul, folder=Path(short) / "host", path=[programs]) as made,
    ):
        yield made


def with_envoy(host: ManagedHost) -> None:
    (Path(host.path[0]) / "envoy").symlink_to(envoy_binary())


def upstream(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"destination_name": name, "local_bind_port": port, **more}


def web_and_redis(host: ManagedHost, echo: TcpServer) -> int:
    """The seed's two services by the built-in proxy; the local port by which web reaches redis."""
    port = free_port()
    host.service("redis", echo.port, {"proxy": {}})
    host.service("web", free_port(), {"proxy": {"config": {"upstreams": [upstream("redis", port)]}}})
    return port


# ---------------------------------------------------------------- the seed's configurations


@pytest.mark.parametrize("backend", ["builtin", "envoy"])
def test_the_minimal_configuration_and_upstreams(host: ManagedHost, echo: TcpServer, backend: str) -> None:
    port = free_port()
    chosen = {} if backend == "builtin" else {"backend": backend}
    if backend == "envoy":
        with_envoy(host)
    host.service("redis", echo.port, {"proxy": chosen})
    config = {"upstreams": [upstream("redis", port)]}
    host.service("web", free_port(), {"proxy": {**chosen, "config": config}})
    host.start()
    wait_for_traffic(port)
    assert [(row["id"], row["service"], row["backend"], row["state"]) for row in host.status()] == [
        ("redis-proxy", "redis", backend, "running"),
        ("web-proxy", "web", backend, "running"),
    ]
    assert host.registered() == {"redis", "redis-proxy", "web", "web-proxy"}
    shown = host.consul.api.get("/v1/agent/service/redis-proxy").json
    assert shown["Proxy"]["DestinationServiceID"] == "redis"
    assert host.ports.first <= shown["Port"] < host.ports.first + 20


@pytest.mark.parametrize("backend", ["builtin", "envoy"])
def test_a_prepared_query_as_the_upstream(host: ManagedHost, echo: TcpServer, backend: str) -> None:
    port = free_port()
    chosen = {} if backend == "builtin" else {"backend": backend}
    if backend == "envoy":
        with_envoy(host)
    query = {"Name": "nearest-redis", "Service": {"Service": "redis"}}
    host.consul.api.post("/v1/query", query)
    host.service("redis", echo.port, {"proxy": chosen})
    one = upstream("nearest-redis", port, destination_type="prepared_query")
    host.service("web", free_port(), {"proxy": {**chosen, "config": {"upstreams": [one]}}})
    host.start()
    wait_for_traffic(port)


def test_a_command_of_its_own(host: ManagedHost, echo: TcpServer) -> None:
    port = free_port()
    command = [sys.executable, str(DAEMON)]
    host.service("redis", echo.port, {"proxy": {}})
    proxy = {"exec_mode": "daemon", "command": command, "config": {"upstreams": [upstream("redis", port)]}}
    host.service("web", free_port(), {"proxy": proxy})
    host.start()
    wait_for_traffic(port)
    assert host.row("web-proxy")["backend"] == "custom_exec"


def test_a_command_for_all_that_name_none(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    words = f'["{sys.executable}", "{DAEMON}"]'
    host.write("defaults.hcl", f"connect {{ proxy_defaults {{ command = {words} }} }}")
    host.start()
    wait_for_traffic(port)
    assert [row["backend"] for row in host.status()] == ["custom_exec", "custom_exec"]


# ---------------------------------------------------------------- life apart from the agent


def test_the_agents_end_leaves_proxies_and_registrations_and_its_start_finds_them(
    host: ManagedHost, echo: TcpServer
) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    before = host.pids()
    assert agent.end(signal.SIGTERM) == 0
    assert echoes(port)
    assert host.pids() == before
    assert {row["state"] for row in host.status()} == {"unsupervised"}
    assert host.registered() == {"redis", "redis-proxy", "web", "web-proxy"}
    assert run(host.argv("-dry-run"), env=host.environment).stdout == "nothing would change\n"
    host.start()
    assert host.pids() == before
    assert [(row["state"], row["restarts"]) for row in host.status()] == [("running", 0), ("running", 0)]
    assert echoes(port)


def test_an_agent_killed_under_load_costs_no_request_and_no_proxy(
    host: ManagedHost, echo: TcpServer
) -> None:
    ports = [free_port() for _ in range(4)]
    host.service("redis", echo.port, {"proxy": {}})
    for number, port in enumerate(ports):
        config = {"upstreams": [upstream("redis", port)]}
        host.service(f"web{number}", free_port(), {"proxy": {"config": config}})
    host.start()
    for port in ports:
        wait_for_traffic(port)
    before = host.pids()
    with Load(ports) as load:
        wait_until(lambda: load.done > 20, "some requests")
        host.kill_agent()
        seen = load.done
        wait_until(lambda: load.done > seen + 40, "requests without an agent")
        host.start()
        seen = load.done
        wait_until(lambda: load.done > seen + 40, "requests after its return")
    assert load.failed == 0
    assert host.pids() == before
    assert {row["restarts"] for row in host.status()} == {0}


def test_each_killed_proxy_is_started_again_and_its_registration_stays(
    host: ManagedHost, echo: TcpServer
) -> None:
    port = web_and_redis(host, echo)
    host.start()
    wait_for_traffic(port)
    for proxy_id, pid in host.pids().items():
        was = host.consul.api.get(f"/v1/agent/service/{proxy_id}").json
        os.kill(pid, signal.SIGKILL)
        wait_until(changed(host, proxy_id, pid), f"another process of {proxy_id}")
        wait_for_traffic(port)
        row = host.row(proxy_id)
        assert (row["state"], row["restarts"], row["last_exit"]) == ("running", 1, -signal.SIGKILL)
        assert host.consul.api.get(f"/v1/agent/service/{proxy_id}").json == was


def test_after_a_reboot_everything_is_started_anew(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    before = host.pids()
    agent.end()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    state = host.data / "proxy/state.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # The next boot: other processes have these pids now, here our own.
    text = state.read_text().replace(boot, "00000000-0000-4000-8000-000000000000")
    for pid in before.values():
        text = text.replace(f'"pid": {pid}', f'"pid": {os.getpid()}')
    state.write_text(text)
    host.start()
    wait_for_traffic(port)
    assert set(host.pids().values()).isdisjoint({*before.values(), os.getpid()})


def test_what_was_stopped_stays_so_until_it_is_started(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    other = host.row("redis-proxy")["pid"]
    assert host.command("stop", "web-proxy") == "stop: web-proxy\n"
    assert (host.row("web-proxy")["state"], host.row("web-proxy")["pid"]) == ("held", None)
    host.command("reload")
    agent.end()
    host.start()
    assert host.row("web-proxy")["state"] == "held"
    assert host.row("redis-proxy")["pid"] == other
    host.command("start", "web-proxy")
    wait_for_traffic(port)


def test_without_an_agent_stop_works_from_the_state_file(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    host.start()
    wait_for_traffic(port)
    host.kill_agent()
    assert host.command("stop", "-all") == "stop: redis-proxy\nstop: web-proxy\n"
    assert set(host.pids().values()) == {None}
    assert not echoes(port)


def test_while_consul_is_away_what_runs_is_found_again_and_the_rest_starts_when_it_is_back(
    tmp_path: Path, echo: TcpServer
) -> None:
    with (
        RealConsul(folder=tmp_path / "consul", durable=True) as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as host,
    ):
        port = web_and_redis(host, echo)
        agent = host.start()
        wait_for_traffic(port)
        before = host.pids()
        agent.end()
        consul.stop()
        host.service("jobs", free_port(), {"proxy": {}})
        host.start()
        assert {row["id"]: row["state"] for row in host.status()} == {
            "jobs-proxy": "refused",
            "redis-proxy": "running",
            "web-proxy": "running",
        }
        assert "cannot be reached" in host.row("jobs-proxy")["last_error"]
        assert {**before, "jobs-proxy": None} == host.pids()
        assert echoes(port)
        consul.restart()
        wait_until(lambda: host.row("jobs-proxy")["state"] == "running", "the new proxy", deadline_s=60)
        wait_until(lambda: "jobs-proxy" in host.registered(), "its registration", deadline_s=60)
        assert {**host.pids(), "jobs-proxy": None} == {**before, "jobs-proxy": None}


# ---------------------------------------------------------------- what operators do


def test_a_reload_adds_and_removes_and_touches_nothing_else(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    redis = host.row("redis-proxy")["pid"]
    host.service("jobs", free_port(), {"proxy": {}})
    host.remove("web.json")
    difference = "+ jobs-proxy\n- web-proxy\n+ service jobs\n- service web\n"
    assert host.command("reload", "-dry-run") == difference
    assert "web-proxy" in host.registered()
    assert host.command("reload") == difference
    wait_until(lambda: host.row("jobs-proxy")["state"] == "running", "the new proxy")
    assert host.registered() == {"redis", "redis-proxy", "jobs", "jobs-proxy"}
    assert host.pids().keys() == {"redis-proxy", "jobs-proxy"}
    host.remove("jobs.json")
    agent.send(signal.SIGHUP)
    wait_until(lambda: host.pids().keys() == {"redis-proxy"}, "the reload by signal")
    assert host.row("redis-proxy")["pid"] == redis


def test_a_reload_names_what_it_changes_in_place(host: ManagedHost, echo: TcpServer) -> None:
    own_port, port, moved = free_port(), free_port(), free_port()

    def define(local_bind_port: int) -> None:
        config = {"upstreams": [upstream("redis", local_bind_port)]}
        host.service("web", own_port, {"proxy": {"config": config}})

    host.service("redis", echo.port, {"proxy": {}})
    define(port)
    host.start()
    wait_for_traffic(port)
    before = host.pids()
    define(moved)
    difference = "~ web-proxy (in place: Proxy.Upstreams)\n"
    assert host.command("reload", "-dry-run") == difference
    assert host.command("reload") == difference
    assert host.command("reload") == "nothing changed\n"
    wait_for_traffic(moved)
    assert host.pids() == before


def test_a_broken_file_never_takes_down_what_runs(host: ManagedHost, echo: TcpServer) -> None:
    port = web_and_redis(host, echo)
    agent = host.start()
    wait_for_traffic(port)
    before = host.pids()
    host.write("web.json", '{"service": {"name": "web", "prot": 1}}')
    failed = run([connect_proxy_program(), "reload", "-data-dir", host.data], env=host.environment)
    assert failed.returncode == 3
    assert "web.json" in failed.stderr
    assert "prot" in failed.stderr
    agent.send(signal.SIGHUP)
    agent.wait_for_output("what runs stays as it is")
    assert host.pids() == before
    assert echoes(port)


def test_a_second_agent_on_the_data_directory_is_refused_naming_the_first(
    host: ManagedHost, echo: TcpServer
) -> None:
    web_and_redis(host, echo)
    agent = host.start()
    second = run(host.argv(), env=host.environment)
    assert second.returncode == 1
    assert f"is in use by the agent with pid {agent.pid}" in second.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the refusal is for root")
def test_nothing_is_started_as_root_unless_the_files_allow_it(host: ManagedHost, echo: TcpServer) -> None:
    web_and_redis(host, echo)
    host.write("agent.hcl", host.port_ranges())
    host.start()
    for row in host.status():
        assert (row["state"], row["pid"]) == ("refused", None)
        assert "allow_managed_root = true" in row["last_error"]


def test_logs_are_followed_and_the_level_is_changed_while_it_runs(
    host: ManagedHost, echo: TcpServer
) -> None:
    port = web_and_redis(host, echo)
    host.start()
    wait_for_traffic(port)
    wait_until(lambda: "connect_proxy.run: ready" in host.command("logs", "web-proxy"), "its log")
    assert host.command("set-log-level", "web-proxy", "debug") == "web-proxy: DEBUG\n"
    assert "[DEBUG]" not in host.command("logs", "redis-proxy")
    expiry = wait_until(lambda: host.row("web-proxy")["certificate_expiry"], "what it says of itself")
    assert expiry > "2020"
    assert echoes(port)
    lines = host.command("logs", "-n", "5").splitlines()
    assert {line.split(": ")[0] for line in lines} <= {
        f"{name}-proxy-{stream}" for name in ("web", "redis") for stream in ("stdout", "stderr")
    }
    before = host.pids()
    assert host.command("restart", "-all") == "restart: redis-proxy\nrestart: web-proxy\n"
    wait_for_traffic(port)
    assert set(before.values()).isdisjoint(host.pids().values())


# ---------------------------------------------------------------- the embedded agent, service managers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_with_the_embedded_agent_and_no_data_directory_the_proxies_end_with_it(
    tmp_path: Path, echo: TcpServer, number: int
) -> None:
    runtime, definitions, port = tmp_path / "run", tmp_path / "definitions", free_port()
    runtime.mkdir(mode=0o700)
    definitions.mkdir(mode=0o755)
    services = [
        {"name": "redis", "port": echo.port, "connect": {"proxy": {}}},
        {"name": "web", "port": 1, "connect": {"proxy": {"upstreams": [upstream("redis", port)]}}},
    ]
    (definitions / "services.json").write_text(json.dumps({"services": services}))
    ports = free_block()
    (definitions / "agent.hcl").write_text(f"{ROOT_ALLOWED}\n{port_ranges(ports)}")
    (definitions / "agent.hcl").chmod(0o644)
    environment = client_environment(XDG_RUNTIME_DIR=str(runtime), XDG_STATE_HOME=str(tmp_path))
    words: list[str | Path] = [
        "-dev",
        "-http-port",
        "0",
        "-grpc-port",
        "-1",
        "-dns-port",
        "-1",
        "-config-dir",
        definitions,
    ]
    argv = [connect_proxy_program(), "agent", *words, "-format", "json"]
    with Program(argv, folder=tmp_path, env=environment) as agent:
        agent.wait_for(lambda: agent.stdout.endswith("\n"), "its line")
        told = json.loads(agent.stdout)
        assert (told["pid"], told["data_dir"], told["api_addr"]) == (agent.pid, "", told["http_addr"])
        wait_for_traffic(port)
        if os.geteuid() == 0:
            environment["STATE_DIRECTORY"] = str(tmp_path)  # instead of root's own folder
        status = run([connect_proxy_program(), "status", "-format", "json"], env=environment)
        rows = json.loads(status.stdout)
        assert [(row["id"], row["state"]) for row in rows] == [
            ("redis-proxy", "running"),
            ("web-proxy", "running"),
        ]
        assert agent.end(number) == (0 if number == signal.SIGTERM else -number)
        for row in rows:
            wait_until(partial(ended, row["pid"]), f"the end of {row['id']}")
    ports.release()


def test_a_service_manager_is_told_of_readiness_reloads_life_and_the_end(
    host: ManagedHost, echo: TcpServer, tmp_path: Path
) -> None:
    web_and_redis(host, echo)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.settimeout(60)
        agent = host.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"})
        assert inbox.recv(4096) == b"READY=1\nSTATUS=2 managed proxies"
        assert next_but(inbox, b"?") == b"WATCHDOG=1"
        agent.send(signal.SIGHUP)
        assert next_but(inbox, b"WATCHDOG=1").startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert next_but(inbox, b"WATCHDOG=1").startswith(b"READY=1")
        assert agent.end() == 0
        assert next_but(inbox, b"WATCHDOG=1") == b"STOPPING=1"


def next_but(inbox: socket.socket, unwanted: bytes) -> bytes:
    """The next datagram that is another."""
    while (told := inbox.recv(4096)) == unwanted:
        pass
    return told


def ended(pid: int) -> bool:
    """Whether it does not run any more: what init has not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---------------------------------------------------------------- secrets


def test_no_token_is_in_the_state_file_in_argv_or_in_a_log(tmp_path: Path, echo: TcpServer) -> None:
    with RealConsul(folder=tmp_path / "consul", acl=True) as consul:
        host = ManagedHost(consul=consul, folder=tmp_path / "host", token=consul.token)
        with host:
            port = web_and_redis(host, echo)
            intention = {"SourceName": "*", "DestinationName": "*", "Action": "allow"}
            consul.api.post("/v1/connect/intentions", intention)
            host.start("-log-level", "TRACE")
            wait_for_traffic(port)
            tokens = [one for one in consul.api.get("/v1/acl/tokens").json if one.get("ServiceIdentities")]
            assert len(tokens) == 2
            secrets = [
                consul.api.get(f"/v1/acl/token/{one['AccessorID']}").json["SecretID"] for one in tokens
            ]
            shown = [path.read_text() for path in host.data.rglob("*") if path.is_file()]
            assert host.agent is not None
            shown += [host.agent.output, host.command("status", "-format", "json")]
            for pid in [host.agent.pid, *host.pids().values()]:
                shown.append(Path(f"/proc/{pid}/cmdline").read_text())
            for secret in [consul.token, *secrets]:
                assert [text for text in shown if secret in text] == []
            host.remove("web.json")
            host.command("reload")
            left = [one for one in consul.api.get("/v1/acl/tokens").json if one.get("ServiceIdentities")]
            assert [one["ServiceIdentities"][0]["ServiceName"] for one in left] == ["redis"]


def changed(host: ManagedHost, proxy_id: str, pid: int) -> Callable[[], bool]:
    return lambda: host.row(proxy_id)["pid"] not in {None, pid}


class Load:
    """Echo requests over each port, one connection each, as long as the block runs."""

    def __init__(self, ports: list[int]) -> None:
        self.done = 0
        self.failed = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(port,)) for port in ports]

    def _run(self, port: int) -> None:
        while not self._over.is_set():
            if echoes(port):
                self.done += 1
            else:
                self.failed += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
