"""A proxy that the command line alone describes: the words of Consul's own, and the same record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.agents import AgentUnderTest, client_environment
from support.applications import ask, echo_server
from support.embedded_agent import connect_proxy_program
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_parts import consul_binary

pytestmark = pytest.mark.integration

PLANES = ["builtin", "consul"]
PROXY_ID = "web-proxy-blue"


def start(plane: str, agent: AgentUnderTest, words: Sequence[str], folder: Path, name: str) -> Program:
    argv: list[str | Path] = [consul_binary(), "connect", "proxy"]
    if plane == "builtin":
        argv = [connect_proxy_program(), "--backend", "builtin"]
    environment = client_environment(CONSUL_HTTP_ADDR=agent.address)
    return Program([*argv, *words], folder=folder, env=environment, name=f"{plane}-{name}")


def record(agent: AgentUnderTest) -> dict[str, Any]:
    """What Consul has of the proxy, and of its check."""
    services = agent.api.get("/v1/agent/services").json
    if PROXY_ID not in services:
        return {}
    shown = services[PROXY_ID]
    checks = agent.api.get("/v1/agent/checks").json
    kept = ("ID", "Service", "Kind", "Address", "Port", "Proxy")
    return {
        "service": {name: shown.get(name) for name in kept},
        "checks": {
            check_id: (check["Name"], check["Status"], check["Type"])
            for check_id, check in checks.items()
            if check["ServiceID"] == PROXY_ID
        },
    }


@pytest.mark.parametrize("caller", PLANES)
@pytest.mark.parametrize("callee", PLANES)
def test_flags_make_a_callee_that_registers_itself_and_a_caller_that_does_not(
    agent: AgentUnderTest, tmp_path: Path, callee: str, caller: str
) -> None:
    public, upstream = free_port(), free_port()
    with echo_server() as application:
        web = ["-service", "web", "-service-addr", f"127.0.0.1:{application.port}"]
        web += [
            "-listen",
            f"127.0.0.1:{public}",
            "-register",
            "-register-id",
            "blue",
            "-log-level",
            "debug",
        ]
        api = ["-service", "api", "-upstream", f"web:127.0.0.1:{upstream}", "-log-json"]
        with (
            start(callee, agent, web, tmp_path, "web") as serving,
            start(caller, agent, api, tmp_path, "api") as calling,
        ):
            wait_until(lambda: reaches(upstream), "a call")
            found = record(agent)
            assert found["checks"] == {f"{PROXY_ID}-ttl": ("proxy heartbeat", "passing", "ttl")}
            assert (found["service"]["Kind"], found["service"]["Service"]) == ("connect-proxy", "web-proxy")
            assert (found["service"]["Address"], found["service"]["Port"]) == ("127.0.0.1", public)
            assert found["service"]["Proxy"]["DestinationServiceName"] == "web"
            assert calling.end() == 0
            if caller == "builtin":
                assert all(json.loads(line) for line in calling.stderr.splitlines())
            assert serving.end() == 0
            wait_until(lambda: not record(agent), "it takes its record with it")


def reaches(port: int) -> bool:
    try:
        return ask(port, b"hello") == b"hello"
    except OSError:
        return False
