"""Two services call each other, whatever runs their sidecars and whichever agent is behind them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from support.agents import AgentUnderTest
from support.applications import ask, echo_server, ended, exchange, half_close_server
from support.ports import free_port
from support.processes import wait_until
from support.sidecars import CONSUL, register_pair, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

PAIRS = [
    ("builtin", "builtin"),
    ("builtin", CONSUL),
    (CONSUL, "builtin"),
    ("envoy", "envoy"),
    ("envoy", "builtin"),
    ("builtin", "envoy"),
    ("envoy", CONSUL),
    (CONSUL, "envoy"),
]


@pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=lambda plane: plane)
def test_a_call_passes_is_refused_by_a_deny_and_passes_again(
    agent: AgentUnderTest, caller: str, callee: str, tmp_path: Path
) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar(callee, agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(caller, agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, callee)
            wait_ready(api_sidecar, caller)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            agent.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")
            agent.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery")
            assert api_sidecar.end() == 0
            assert web_sidecar.end() == 0


@pytest.mark.parametrize(("caller", "callee"), [("builtin", "builtin"), ("envoy", "envoy")])
def test_half_close_is_kept(agent: AgentUnderTest, caller: str, callee: str, tmp_path: Path) -> None:
    upstream = free_port()
    with half_close_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar(callee, agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(caller, agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, callee)
            wait_ready(api_sidecar, caller)
            sent = b"x" * 3_000_000
            wait_until(lambda: exchange(upstream, b"hello") == b"got 5 bytes", "the first call")
            assert exchange(upstream, sent) == b"got 3000000 bytes"


def test_a_refused_caller_never_reaches_the_application(agent: AgentUnderTest, tmp_path: Path) -> None:
    """Consul's own proxy connects to the application before it knows who calls."""
    upstream = free_port()
    agent.api.set_intention("api", "web", "deny")
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            web_sidecar.wait_for(
                lambda: ask(upstream, b"hello") == b"" and "not authorised" in web_sidecar.stderr,
                "the refusal in the callee's log",
            )
            assert web.arrived() == 0


def test_an_open_connection_is_closed_when_its_source_loses_the_intention(
    agent: AgentUnderTest, tmp_path: Path
) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as connection:
                connection.sendall(b"hello")
                assert connection.recv(5) == b"hello"
                agent.api.set_intention("api", "web", "deny")
                assert ended(connection)
