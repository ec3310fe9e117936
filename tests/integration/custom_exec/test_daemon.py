"""A program of the user's own as the sidecar: what it gets, what is refused, a real one in the mesh."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.agents import AgentUnderTest, client_environment
from support.applications import http_get, http_server
from support.ports import free_port
from support.processes import Program, run, wait_until
from support.real_parts import consul_binary

pytestmark = pytest.mark.integration

TOKEN = "5d1f6d3c-9a7b-4f0e-8b57-2f0f6a1c9d11"
CONNECT_PROXY = [sys.executable, "-m", "connect_proxy"]
PRINT_ENVIRONMENT = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


@pytest.fixture
def web(agent: AgentUnderTest) -> str:
    """The id of a registered service with a sidecar."""
    agent.api.register({"Name": "web", "Port": free_port(), "Connect": {"SidecarService": {}}})
    return "web"


def environment(agent: AgentUnderTest, **variables: str) -> dict[str, str]:
    return client_environment(CONSUL_HTTP_ADDR=agent.address, **variables)


def custom_exec(*words: str) -> list[str]:
    return [*CONNECT_PROXY, "--backend", "custom_exec", *words]


def test_the_daemon_gets_its_words_and_its_environment(agent: AgentUnderTest, web: str) -> None:
    stale = environment(
        agent, CONSUL_HTTP_TOKEN=TOKEN, CONNECT_SIDECAR_FOR="other", CONSUL_NAMESPACE="", KEPT="yes"
    )
    words = custom_exec(
        "-sidecar-for", web, "--", sys.executable, "-c", PRINT_ENVIRONMENT, "-sidecar-for", "x"
    )
    done = run(words, env=stale)
    assert done.returncode == 0, done.stderr
    arguments, variables = json.loads(done.stdout)
    assert arguments == ["-sidecar-for", "x"]
    assert variables["CONNECT_PROXY_ID"] == "web-sidecar-proxy"
    assert variables["CONNECT_PROXY_TOKEN"] == TOKEN
    assert variables["CONSUL_HTTP_ADDR"] == agent.address
    assert variables["KEPT"] == "yes"
    assert "CONNECT_SIDECAR_FOR" not in variables


def test_the_bootstrap_is_the_environment_without_its_secrets(agent: AgentUnderTest, web: str) -> None:
    done = run(
        custom_exec("-sidecar-for", web, "-bootstrap"), env=environment(agent, CONNECT_PROXY_TOKEN=TOKEN)
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["CONNECT_PROXY_ID"] == "web-sidecar-proxy"
    assert shown["CONNECT_PROXY_TOKEN"] == shown["CONSUL_HTTP_TOKEN"] == "<hidden>"
    assert TOKEN not in done.stdout + done.stderr


def test_a_missing_program_is_named_with_exit_code_4(agent: AgentUnderTest, web: str) -> None:
    done = run(custom_exec("-sidecar-for", web, "--", "no-such-proxy"), env=environment(agent))
    assert done.returncode == 4
    assert "'no-such-proxy'" in done.stderr


def test_no_program_is_a_usage_error(agent: AgentUnderTest, web: str) -> None:
    done = run(custom_exec("-sidecar-for", web), env=environment(agent))
    assert done.returncode == 2
    assert "after --" in done.stderr


def test_the_programs_exit_code_is_passed_on(agent: AgentUnderTest, web: str) -> None:
    done = run(custom_exec("-sidecar-for", web, "--", "sh", "-c", "exit 7"), env=environment(agent))
    assert done.returncode == 7


def test_consuls_own_proxy_runs_as_the_daemon(agent: AgentUnderTest, tmp_path: Path) -> None:
    """It reads the same variables, takes connect-proxy's place and ends with its signal."""
    upstream = free_port()
    with http_server(b"hello") as port:
        agent.api.register({"Name": "web", "Port": port, "Connect": {"SidecarService": {}}})
        proxy = {"Upstreams": [{"DestinationName": "web", "LocalBindPort": upstream}]}
        agent.api.register({"Name": "api", "Connect": {"SidecarService": {"Proxy": proxy}}})
        words = ["--", str(consul_binary()), "connect", "proxy"]
        env = environment(agent)
        with (
            Program(
                custom_exec("-sidecar-for", "web", *words), folder=tmp_path, env=env, name="web"
            ) as web,
            Program(custom_exec("-sidecar-for", "api", *words), folder=tmp_path, env=env, name="api"),
        ):
            wait_until(lambda: http_get(upstream) == (200, b"hello"), "an answer through both proxies")
            assert b"connect\0proxy" in Path(f"/proc/{web.pid}/cmdline").read_bytes()
            assert web.end() == 0
