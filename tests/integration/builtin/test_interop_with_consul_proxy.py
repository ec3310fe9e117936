"""The built-in proxy and Consul's own, as caller and as server, on both agents."""

from __future__ import annotations

import contextlib
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import AgentUnderTest, client_environment
from support.applications import ask, echo_server, exchange, half_close_server
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_parts import consul_binary

pytestmark = pytest.mark.integration

ALWAYS = [{"Name": "always", "TTL": "1h", "Status": "passing"}]
CONNECT_PROXY = Path(sysconfig.get_path("scripts")) / "connect-proxy"


def start(kind: str, agent: AgentUnderTest, service: str, folder: Path) -> Program:
    """A sidecar of *service*: Consul's own proxy or ours."""
    flags = ["-http-addr", agent.address, "-sidecar-for", service]
    argv: list[str | Path] = [consul_binary(), "connect", "proxy", *flags]
    if kind == "builtin":
        argv = [CONNECT_PROXY, "--backend", "builtin", *flags]
    return Program(argv, folder=folder, name=f"{kind}-{service}", env=client_environment())


@contextlib.contextmanager
def registered(agent: AgentUnderTest, application_port: int) -> Iterator[int]:
    """Services ``web`` (before the application) and ``api`` (its caller); the caller's upstream port."""
    port = free_port()
    upstream = {"DestinationName": "web", "LocalBindPort": port}
    sidecars = {
        "web": (application_port, {"Checks": ALWAYS}),
        "api": (free_port(), {"Checks": ALWAYS, "Proxy": {"Upstreams": [upstream]}}),
    }
    for name, (service_port, sidecar) in sidecars.items():
        agent.api.put(
            "/v1/agent/service/register",
            {"Name": name, "Port": service_port, "Connect": {"SidecarService": sidecar}},
        )
    yield port
    for name in sidecars:
        agent.api.put(f"/v1/agent/service/deregister/{name}")


def set_intention(agent: AgentUnderTest, action: str) -> None:
    agent.api.clear_intentions()
    agent.api.post(
        "/v1/connect/intentions",
        {"SourceName": "api", "DestinationName": "web", "SourceType": "consul", "Action": action},
    )


@pytest.mark.parametrize(
    ("server", "client"), [("builtin", "consul"), ("consul", "builtin"), ("builtin", "builtin")]
)
def test_they_call_each_other_and_a_deny_intention_refuses(
    agent: AgentUnderTest, tmp_path: Path, server: str, client: str
) -> None:
    with (
        echo_server() as application,
        registered(agent, application.port) as port,
        start(server, agent, "web", tmp_path) as serving,
        start(client, agent, "api", tmp_path) as calling,
    ):
        wait_until(lambda: ask(port, b"hello") == b"hello", "a way through")
        set_intention(agent, "deny")
        wait_until(lambda: ask(port, b"hello") == b"", "the refusal")
        reached = application.arrived()
        assert ask(port, b"hello") == b""
        if server == "builtin":  # Consul's own dials the application before it knows the caller
            assert application.arrived() == reached
        set_intention(agent, "allow")
        wait_until(lambda: ask(port, b"hello") == b"hello", "the way through again")
        assert serving.end(signal.SIGTERM) == 0
        assert calling.end(signal.SIGTERM) == 0


def test_half_closed_connections_work_between_two_of_ours(agent: AgentUnderTest, tmp_path: Path) -> None:
    with (
        half_close_server() as application,
        registered(agent, application.port) as port,
        start("builtin", agent, "web", tmp_path),
        start("builtin", agent, "api", tmp_path),
    ):
        wait_until(lambda: exchange(port, b"x" * 100_000) == b"got 100000 bytes", "the late answer")
