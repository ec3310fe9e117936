"""Managed proxies where Consul's ACLs deny by default: each has its token, keeps it, and takes it along."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.applications import TcpServer, echo_server
from support.managed_agent import ManagedHost, echoes, wait_for_traffic
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

DAEMON = Path(__file__).parents[2] / "docs/demo/mtls_daemon.py"
PROXIES = ("daemon-proxy", "redis-proxy", "web-proxy")


@pytest.fixture(scope="module")
def running_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("consul"), acl=True) as running:
        running.api.set_intention("*", "*", "allow")
        yield running


@pytest.fixture
def consul(running_consul: RealConsul) -> Iterator[RealConsul]:
    yield running_consul
    running_consul.api.clear_services()
    for token in tokens(running_consul).values():
        running_consul.api.delete(f"/v1/acl/token/{token['AccessorID']}")


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


@pytest.fixture
def host(consul: RealConsul, tmp_path: Path) -> Iterator[ManagedHost]:
    with ManagedHost(consul=consul, folder=tmp_path / "host", token=consul.token) as made:
        yield made


def define(host: ManagedHost, echo: TcpServer) -> list[int]:
    """redis behind the built-in proxy; web and daemon, which is a command, call it. Their local ports."""
    ports = [free_port(), free_port()]
    host.service("redis", echo.port, {"proxy": {}})
    for name, port in zip(("web", "daemon"), ports, strict=True):
        upstreams = [{"destination_name": "redis", "local_bind_port": port}]
        command = {"command": [sys.executable, str(DAEMON)]} if name == "daemon" else {}
        host.service(name, free_port(), {"proxy": {"config": {"upstreams": upstreams}, **command}})
    return ports


def tokens(consul: RealConsul) -> dict[str, dict[str, Any]]:
    """The managed proxies' ACL tokens, secrets and all, by service. Two for one service are a failure."""
    listed = [one for one in consul.api.get("/v1/acl/tokens").json if one.get("ServiceIdentities")]
    found = {one["ServiceIdentities"][0]["ServiceName"]: one["AccessorID"] for one in listed}
    assert len(found) == len(listed)
    return {name: consul.api.get(f"/v1/acl/token/{accessor}").json for name, accessor in found.items()}


def secret_of(pid: int, variable: str) -> str:
    """What a process has in its environment."""
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line)[variable]


def registrations(host: ManagedHost) -> dict[str, Any]:
    return {name: host.consul.api.get(f"/v1/agent/service/{name}").json for name in PROXIES}


def test_each_killed_proxy_keeps_its_registration_and_its_token(
    host: ManagedHost, consul: RealConsul, echo: TcpServer
) -> None:
    ports = define(host, echo)
    host.start()
    for port in ports:
        wait_for_traffic(port)
    before, registered = tokens(consul), registrations(host)
    assert sorted(before) == ["daemon", "redis", "web"]
    for proxy_id in PROXIES:
        service = proxy_id.removesuffix("-proxy")
        pid = host.row(proxy_id)["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: host.row(proxy_id)["pid"] not in {None, pid}, "its successor")  # noqa: B023
        for port in ports:
            wait_for_traffic(port)
        row = host.row(proxy_id)
        assert (row["state"], row["restarts"], row["last_exit"]) == ("running", 1, -signal.SIGKILL)
        assert (tokens(consul), registrations(host)) == (before, registered)
        secret = secret_of(row["pid"], "CONNECT_PROXY_TOKEN")
        assert secret == before[service]["SecretID"]
        own = consul.api.with_token(secret)
        assert own.get(f"/v1/agent/connect/ca/leaf/{service}").status == 200
        assert own.get("/v1/agent/connect/ca/leaf/another").status == 403


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_token_that_was_deleted_in_consul_is_replaced_at_the_next_start(
    host: ManagedHost, consul: RealConsul, echo: TcpServer, how: str
) -> None:
    ports = define(host, echo)
    host.start()
    for port in ports:
        wait_for_traffic(port)
    before = tokens(consul)
    for token in before.values():
        consul.api.delete(f"/v1/acl/token/{token['AccessorID']}")
    for proxy_id in PROXIES:
        pid = host.row(proxy_id)["pid"]
        if how == "restart":
            host.command("restart", proxy_id)
        else:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: host.row(proxy_id)["pid"] not in {None, pid}, "its successor")  # noqa: B023
        wait_until(lambda: host.row(proxy_id)["state"] == "running", "it runs")  # noqa: B023
    for port in ports:
        wait_for_traffic(port)
    wait_until(lambda: len(tokens(consul)) == 3, "a token for each")
    now = tokens(consul)
    assert not {one["SecretID"] for one in now.values()} & {one["SecretID"] for one in before.values()}
    host.kill_agent()
    pids = host.pids()
    host.start()
    assert (host.pids(), tokens(consul)) == (pids, now)
    for proxy_id, pid in pids.items():
        assert secret_of(pid, "CONNECT_PROXY_TOKEN") == now[proxy_id.removesuffix("-proxy")]["SecretID"]


def test_the_agents_death_leaves_the_tokens_as_they_are(
    host: ManagedHost, consul: RealConsul, echo: TcpServer
) -> None:
    ports = define(host, echo)
    host.start()
    for port in ports:
        wait_for_traffic(port)
    before, pids = tokens(consul), host.pids()
    host.kill_agent()
    dead = pids["redis-proxy"]
    os.kill(dead, signal.SIGKILL)  # while nobody looks after it
    host.start()
    wait_until(lambda: host.row("redis-proxy")["pid"] not in {None, dead}, "its successor")
    for port in ports:
        wait_for_traffic(port)
    assert tokens(consul) == before
    assert {**host.pids(), "redis-proxy": dead} == pids
    secret = secret_of(host.row("redis-proxy")["pid"], "CONNECT_PROXY_TOKEN")
    assert secret == before["redis"]["SecretID"]


def test_a_proxy_that_goes_takes_its_token_along(
    host: ManagedHost, consul: RealConsul, echo: TcpServer
) -> None:
    ports = define(host, echo)
    host.start()
    for port in ports:
        wait_for_traffic(port)
    before = tokens(consul)
    for name in ("web", "daemon", "redis"):
        host.remove(f"{name}.json")
        host.command("reload")
        del before[name]
        assert tokens(consul) == before
    assert not any(echoes(port) for port in ports)
    assert host.registered() == set()


def test_a_deleted_token_is_replaced_at_the_next_start_of_the_agent(
    host: ManagedHost, consul: RealConsul, echo: TcpServer
) -> None:
    port = define(host, echo)[0]
    host.start()
    wait_for_traffic(port)
    before = tokens(consul)
    host.kill_agent()
    host.command("stop", "-all")
    assert consul.api.delete(f"/v1/acl/token/{before['web']['AccessorID']}").status == 200
    host.start()
    host.command("start", "-all")
    wait_for_traffic(port)
    after = tokens(consul)
    assert after["web"]["AccessorID"] != before["web"]["AccessorID"]
    assert {**after, "web": before["web"]} == before
