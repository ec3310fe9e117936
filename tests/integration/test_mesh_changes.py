"""What changes in a running mesh is taken up without a restart: roots, upstreams, prepared queries."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.agents import AgentUnderTest
from support.applications import ask, echo_server, greeting_server
from support.embedded_agent import EmbeddedAgent
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.sidecars import CONSUL, register_pair, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

CHECK = {"TTL": "1h", "Status": "passing"}


@pytest.fixture
def own_agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentUnderTest]:
    """For what cannot be undone."""
    folder = tmp_path / "agent"
    started: contextlib.AbstractContextManager[AgentUnderTest]
    started = EmbeddedAgent(folder=folder) if request.param == "embedded" else RealConsul(folder=folder)
    with started as agent:
        yield agent


def _rotate(agent: AgentUnderTest) -> str:
    """Give the mesh a new root; its id."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    body = {"Provider": "consul", "Config": {"PrivateKey": key.decode(), "LeafCertTTL": "72h"}}
    assert agent.api.put("/v1/connect/ca/configuration", body).status == 200
    return str(agent.api.get("/v1/agent/connect/ca/roots").json["ActiveRootID"])


@pytest.mark.parametrize(
    ("own_agent", "caller", "callee"),
    [
        ("embedded", "builtin", "builtin"),
        ("embedded", "envoy", "builtin"),
        ("embedded", "builtin", "envoy"),
        ("embedded", CONSUL, "builtin"),
        ("consul", "builtin", "builtin"),
        ("consul", "envoy", "builtin"),
    ],
    indirect=["own_agent"],
)
def test_a_new_root_interrupts_nothing(
    own_agent: AgentUnderTest, caller: str, callee: str, tmp_path: Path
) -> None:
    """Each side takes up its new leaf when Consul gives it, at different moments: calls pass throughout."""
    upstream = free_port()
    with echo_server() as web:
        register_pair(own_agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar(callee, own_agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(caller, own_agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, callee)
            wait_ready(api_sidecar, caller)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            serials = [_serial(own_agent, name) for name in ("web", "api")]
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as connection:
                connection.sendall(b"one")
                assert connection.recv(3) == b"one"
                _rotate(own_agent)

                def renewed() -> bool:
                    assert ask(upstream, b"hello") == b"hello"
                    return all(
                        _serial(own_agent, name) != old
                        for name, old in zip(("web", "api"), serials, strict=True)
                    )

                # Consul spreads the new leaves over up to 30 seconds.
                wait_until(renewed, "both leaves are issued anew", deadline_s=120)
                for _ in range(20):
                    assert ask(upstream, b"hello") == b"hello"
                connection.sendall(b"two")
                assert connection.recv(3) == b"two"


def _serial(agent: AgentUnderTest, service: str) -> str:
    return str(agent.api.get(f"/v1/agent/connect/ca/leaf/{service}").json["SerialNumber"])


@pytest.mark.parametrize("caller", ["builtin", "envoy", CONSUL])
def test_an_upstream_may_be_a_prepared_query(agent: AgentUnderTest, caller: str, tmp_path: Path) -> None:
    upstream = free_port()
    made = agent.api.post("/v1/query", {"Name": "find-web", "Service": {"Service": "web"}})
    assert made.status == 200, made.text
    try:
        with echo_server() as web:
            register_pair(agent, web_port=web.port, upstream_port=free_port())
            _register_api(
                agent,
                {
                    "DestinationType": "prepared_query",
                    "DestinationName": "find-web",
                    "LocalBindPort": upstream,
                },
            )
            with (
                start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
                start_sidecar(caller, agent, "api", folder=tmp_path) as api_sidecar,
            ):
                wait_ready(web_sidecar, "builtin")
                wait_ready(api_sidecar, caller)
                wait_until(lambda: ask(upstream, b"hello") == b"hello", "the call")
    finally:
        assert agent.api.delete(f"/v1/query/{made.json['ID']}").status == 200


def _register_api(agent: AgentUnderTest, *upstreams: dict[str, Any]) -> None:
    sidecar = {"Check": CHECK, "Proxy": {"Upstreams": list(upstreams)}}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})


@pytest.mark.parametrize("caller", ["builtin", "envoy"])
def test_upstreams_are_added_moved_and_removed_while_it_runs(
    agent: AgentUnderTest, caller: str, tmp_path: Path
) -> None:
    first, second, third = free_port(), free_port(), free_port()
    with echo_server() as web, greeting_server(b"db!") as db:
        register_pair(agent, web_port=web.port, upstream_port=first)
        agent.api.register({"Name": "db", "Port": db.port, "Connect": {"SidecarService": {"Check": CHECK}}})
        with (
            start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "db", folder=tmp_path) as db_sidecar,
            start_sidecar(caller, agent, "api", folder=tmp_path) as api_sidecar,
        ):
            for sidecar, plane in (
                (web_sidecar, "builtin"),
                (db_sidecar, "builtin"),
                (api_sidecar, caller),
            ):
                wait_ready(sidecar, plane)
            wait_until(lambda: ask(first, b"abc") == b"abc", "the first upstream")
            with socket.create_connection(("127.0.0.1", first), timeout=60) as connection:
                connection.sendall(b"one")
                assert connection.recv(3) == b"one"
                web_upstream = {"DestinationName": "web", "LocalBindPort": first}
                _register_api(agent, web_upstream, {"DestinationName": "db", "LocalBindPort": second})
                wait_until(lambda: ask(second, b"abc") == b"db!", "the added upstream")
                connection.sendall(b"two")
                assert connection.recv(3) == b"two", "adding one leaves the others alone"
            _register_api(agent, web_upstream, {"DestinationName": "db", "LocalBindPort": third})
            wait_until(lambda: ask(third, b"abc") == b"db!", "the moved upstream")
            wait_until(lambda: not _listens(second), "its old port is free")
            _register_api(agent, web_upstream)
            wait_until(lambda: not _listens(third), "the removed upstream's port is free")
            assert ask(first, b"abc") == b"abc"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_dead_instance_does_not_fail_calls_while_another_lives(
    agent: AgentUnderTest, tmp_path: Path
) -> None:
    """One of two instances has a registration but no sidecar: the other one is tried."""
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        connect = {"SidecarService": {"Check": CHECK}}
        agent.api.register({"Name": "web", "ID": "web-dead", "Port": 1, "Connect": connect})
        with (
            start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            assert [ask(upstream, b"hello") for _ in range(20)] == [b"hello"] * 20


@pytest.mark.parametrize("callee", ["builtin", "envoy"])
def test_a_sidecar_on_ipv6_is_dialled(agent: AgentUnderTest, callee: str, tmp_path: Path) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        sidecar = {"Check": CHECK, "Address": "::1"}
        agent.api.register({"Name": "web", "Port": web.port, "Connect": {"SidecarService": sidecar}})
        with (
            start_sidecar(callee, agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, callee)
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the call")
