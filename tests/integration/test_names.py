"""Names that are not as plain as ``web`` in ``dc1``: they are a part of every identity."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.sidecars import CONSUL, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

PAIRS = [
    ("builtin", "builtin"),
    ("builtin", CONSUL),
    (CONSUL, "builtin"),
    ("envoy", "builtin"),
    ("builtin", "envoy"),
]


def _call(agent: AgentUnderTest, name: str, caller: str, callee: str, folder: Path) -> None:
    """From ``client of NAME`` to NAME; refused by a deny between exactly these two."""
    check = {"TTL": "1h", "Status": "passing"}
    upstream = free_port()
    source = f"from-{name}"
    with echo_server() as application:
        connect: dict[str, Any] = {"SidecarService": {"Check": check}}
        agent.api.register({"Name": name, "ID": "callee", "Port": application.port, "Connect": connect})
        proxy = {"Upstreams": [{"DestinationName": name, "LocalBindPort": upstream}]}
        connect = {"SidecarService": {"Check": check, "Proxy": proxy}}
        agent.api.register({"Name": source, "ID": "caller", "Port": 1, "Connect": connect})
        with (
            start_sidecar(callee, agent, "callee", folder=folder) as callee_sidecar,
            start_sidecar(caller, agent, "caller", folder=folder) as caller_sidecar,
        ):
            wait_ready(callee_sidecar, callee)
            wait_ready(caller_sidecar, caller)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the call")
            agent.api.set_intention(source, name, "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")


@pytest.mark.parametrize(("caller", "callee"), PAIRS)
@pytest.mark.parametrize("name", ["Web-API_2", "my service"])
def test_a_services_name_is_kept_as_it_is(
    agent: AgentUnderTest, name: str, caller: str, callee: str, tmp_path: Path
) -> None:
    _call(agent, name, caller, callee, tmp_path)


@pytest.mark.parametrize(("caller", "callee"), [("builtin", CONSUL), ("envoy", "builtin")])
@pytest.mark.parametrize("kind", ["embedded", "consul"])
def test_a_datacenter_of_another_name(kind: str, caller: str, callee: str, tmp_path: Path) -> None:
    started: contextlib.AbstractContextManager[AgentUnderTest]
    folder = tmp_path / "agent"
    if kind == "embedded":
        started = EmbeddedAgent(folder=folder, datacenter="east-1")
    else:
        started = RealConsul(folder=folder, datacenter="east-1")
    with started as agent:
        _call(agent, "web", caller, callee, tmp_path)
