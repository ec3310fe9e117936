"""Managed proxies that are registered over the agent's HTTP API, in front of both Consuls."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.acl_tokens import make_token
from support.agents import client_environment
from support.applications import TcpServer, echo_server
from support.consul_api import ConsulApi
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ManagedHost, echoes, wait_for_traffic
from support.ports import free_block, free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

ALLOWED = "connect { proxy { allow_managed_api_registration = true } }"


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ManagedHost]:
    with (
        RealConsul(folder=tmp_path / "consul") as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host") as made,
    ):
        made.write("api.hcl", ALLOWED)
        yield made


def own_api(host: ManagedHost, token: str = "") -> ConsulApi:
    return ConsulApi(address=f"127.0.0.1:{host.api_port}", token=token)


def web(port: int) -> dict[str, Any]:
    upstreams = [{"DestinationName": "redis", "LocalBindPort": port}]
    proxy = {"ExecMode": "daemon", "Backend": "builtin", "Upstreams": upstreams}
    return {"Name": "web", "Port": free_port(), "Connect": {"Proxy": proxy}}


def test_what_the_api_registers_runs_outlives_the_agent_and_goes_with_its_service(
    host: ManagedHost, echo: TcpServer
) -> None:
    port = free_port()
    host.service("redis", echo.port, {"proxy": {}})
    agent = host.start()
    register = "/v1/agent/service/register"
    assert own_api(host).put(register, web(port)).status == 200
    wait_for_traffic(port)
    assert host.registered() == {"redis", "redis-proxy", "web", "web-proxy"}
    before = host.pids()
    agent.end()
    host.start()
    assert host.pids() == before
    host.kill_agent()
    os.kill(before["web-proxy"], signal.SIGKILL)
    host.start()
    wait_for_traffic(port)
    assert host.command("reload", "-dry-run") == "nothing changes\n"
    assert own_api(host).put("/v1/agent/service/deregister/web").status == 200
    wait_until(lambda: host.pids().keys() == {"redis-proxy"}, "the end of web's proxy")
    assert host.registered() == {"redis", "redis-proxy"}
    assert not echoes(port)
    assert host.command("reload") == "nothing changed\n"
    assert host.agent is not None
    host.agent.end()
    host.start()
    assert host.pids().keys() == {"redis-proxy"}


def test_with_acls_consul_decides_who_may_register_what(tmp_path: Path, echo: TcpServer) -> None:
    with (
        RealConsul(folder=tmp_path / "consul", acl=True) as consul,
        ManagedHost(consul=consul, folder=tmp_path / "host", token=consul.token) as host,
    ):
        port = free_port()
        host.write("api.hcl", ALLOWED)
        host.service("redis", echo.port, {"proxy": {}})
        intention = {"SourceName": "*", "DestinationName": "*", "Action": "allow"}
        consul.api.post("/v1/connect/intentions", intention)
        host.start()
        token = make_token(consul.api, 'service_prefix "web" { policy = "write" }').secret
        body = web(port)
        for other, shown in (("web", ""), ("redis2", token)):
            answer = own_api(host, shown).put("/v1/agent/service/register", {**body, "Name": other})
            assert answer.status == 403
        assert own_api(host, token).put("/v1/agent/service/register", body).status == 200
        wait_for_traffic(port)
        environment = Path(f"/proc/{host.row('web-proxy')['pid']}/environ").read_text()
        assert "CONNECT_PROXY_TOKEN=" in environment
        assert token not in environment
        shown_on_disk = [path.read_text() for path in host.data.rglob("*") if path.is_file()]
        assert [text for text in shown_on_disk if token in text] == []


def test_the_embedded_agent_takes_them_too(tmp_path: Path, echo: TcpServer) -> None:
    definitions, port = tmp_path / "definitions", free_port()
    definitions.mkdir(mode=0o755)
    allowed = {"allow_managed_root": True, "allow_managed_api_registration": True}
    service = {"name": "redis", "port": echo.port, "connect": {"proxy": {}}}
    block = free_block()
    range_of_ports = {"proxy_min_port": block.first, "proxy_max_port": block.last}
    document = {"connect": {"proxy": allowed}, "ports": range_of_ports, "service": service}
    (definitions / "redis.json").write_text(json.dumps(document))
    (definitions / "redis.json").chmod(0o644)
    (tmp_path / "run").mkdir(mode=0o700)
    environment = client_environment(XDG_RUNTIME_DIR=str(tmp_path / "run"))
    ports = ["-http-port", "0", "-grpc-port", "-1", "-dns-port", "-1", "-format", "json"]
    argv: list[str | Path] = [connect_proxy_program(), "agent", "-dev", "-config-dir", definitions, *ports]
    with Program(argv, folder=tmp_path, env=environment, name="agent") as agent:
        agent.wait_for(lambda: agent.stdout.endswith("\n"), "its line")
        api = ConsulApi(address=json.loads(agent.stdout)["http_addr"])
        assert api.put("/v1/agent/service/register", web(port)).status == 200
        wait_for_traffic(port)
        assert set(api.get("/v1/agent/services").json) == {"redis", "redis-proxy", "web", "web-proxy"}
        assert api.put("/v1/agent/service/deregister/web").status == 200
        assert set(api.get("/v1/agent/services").json) == {"redis", "redis-proxy"}
        wait_until(partial(is_silent, port), "the end of web's proxy")
    block.release()


def is_silent(port: int) -> bool:
    return not echoes(port)
