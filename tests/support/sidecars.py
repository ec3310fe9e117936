"""Sidecars of every kind as programs: our backends, and Consul's own ``consul connect proxy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.agents import AgentUnderTest, client_environment
from support.embedded_agent import connect_proxy_program
from support.ports import free_port
from support.processes import Program, run
from support.real_parts import consul_binary, envoy_binary

CONSUL = "consul"
"""Beside the names of our backends: ``consul connect proxy`` of the real Consul."""


def start_sidecar(
    plane: str,
    agent: AgentUnderTest,
    service_id: str,
    *,
    folder: Path,
    words: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    address: str = "",
) -> Program:
    """The sidecar of one service, run by *plane* (``builtin``, ``envoy``, ``consul``). Not ready yet.

    ``address`` replaces the agent's own in CONSUL_HTTP_ADDR.
    """
    environment = client_environment(CONSUL_HTTP_ADDR=address or agent.address, **(env or {}))
    if plane == CONSUL:
        argv: list[str | Path] = [consul_binary(), "connect", "proxy", "-sidecar-for", service_id, *words]
        return Program(argv, folder=folder, env=environment, name=f"consul-proxy-{service_id}")
    argv = [connect_proxy_program(), "--backend", plane, "-sidecar-for", service_id]
    if plane == "envoy":
        argv += [
            "-envoy-binary",
            envoy_binary(),
            "-xds",
            "local",
            "-admin-bind",
            f"127.0.0.1:{free_port()}",
        ]
    return Program([*argv, *words], folder=folder, env=environment, name=f"{plane}-{service_id}")


def wait_ready(program: Program, plane: str) -> None:
    """Until the sidecar serves: by its own word."""
    if plane == CONSUL:
        program.wait_for_output("Proxy loaded config and ready to serve")
    else:
        program.wait_for_output("connect_proxy.run: ready")


def register_pair(
    agent: AgentUnderTest, *, web_port: int, upstream_port: int, upstream_host: str = "127.0.0.1"
) -> None:
    """Services ``web`` (on *web_port*) and ``api``, whose upstream ``web`` is on *upstream_port*.

    Their checks always pass: Consul's own would find the sidecars up to ten seconds late.
    """
    check = {"TTL": "1h", "Status": "passing"}
    agent.api.register({"Name": "web", "Port": web_port, "Connect": {"SidecarService": {"Check": check}}})
    upstream: dict[str, Any] = {
        "DestinationName": "web",
        "LocalBindPort": upstream_port,
        "LocalBindAddress": upstream_host,
    }
    sidecar = {"Check": check, "Proxy": {"Upstreams": [upstream]}}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})


def consul(agent: AgentUnderTest, *words: str, address: str = "", fails: bool = False) -> str:
    """Run the real ``consul`` program as a client of *agent*; what it said. It has to succeed or fail."""
    environment = client_environment(CONSUL_HTTP_ADDR=address or agent.address)
    done = run([consul_binary(), *words], env=environment)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, f"consul {' '.join(words)} gave {done.returncode}: {said}"
    return said
