"""The real ``consul`` program as a client of the embedded agent: it must not notice the difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.agents import client_environment
from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_parts import consul_binary
from support.sidecars import CONSUL, consul, start_sidecar, wait_ready

pytestmark = pytest.mark.integration


def _definition(name: str, port: int, sidecar: dict[str, object]) -> str:
    check = {"ttl": "1h", "status": "passing"}
    connect = {"sidecar_service": {"check": check, **sidecar}}
    return json.dumps({"service": {"name": name, "port": port, "connect": connect}})


def test_services_are_registered_from_a_file_and_deregistered(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    definition = tmp_path / "web.json"
    definition.write_text(_definition("web", 8080, {}))
    assert "Registered service: web" in consul(embedded_agent, "services", "register", str(definition))
    assert set(embedded_agent.api.get("/v1/agent/services").json) == {"web", "web-sidecar-proxy"}
    assert "web-sidecar-proxy" in consul(embedded_agent, "catalog", "services")
    consul(embedded_agent, "services", "deregister", "-id=web")
    assert embedded_agent.api.get("/v1/agent/services").json == {}


def test_intentions_are_created_checked_and_deleted(embedded_agent: EmbeddedAgent) -> None:
    consul(embedded_agent, "intention", "create", "-deny", "web", "db")
    assert "Denied" in consul(embedded_agent, "intention", "check", "web", "db", fails=True)
    assert "db" in consul(embedded_agent, "intention", "match", "db")
    assert "deny" in consul(embedded_agent, "intention", "get", "web", "db")
    consul(embedded_agent, "intention", "create", "-replace", "-allow", "web", "db")
    assert "Allowed" in consul(embedded_agent, "intention", "check", "web", "db")
    consul(embedded_agent, "intention", "delete", "web", "db")
    assert embedded_agent.api.get("/v1/connect/intentions").json == []


def test_the_ca_configuration_is_read(embedded_agent: EmbeddedAgent) -> None:
    assert json.loads(consul(embedded_agent, "connect", "ca", "get-config"))["Provider"] == "consul"


def test_members_are_listed(embedded_agent: EmbeddedAgent) -> None:
    assert "node1" in consul(embedded_agent, "members")


def test_two_consul_connect_proxies_talk_and_obey(embedded_agent: EmbeddedAgent, tmp_path: Path) -> None:
    upstream = free_port()
    with echo_server() as web:
        (tmp_path / "web.json").write_text(_definition("web", web.port, {}))
        upstreams = [{"destination_name": "web", "local_bind_port": upstream}]
        (tmp_path / "api.json").write_text(_definition("api", 1, {"proxy": {"upstreams": upstreams}}))
        for name in ("web", "api"):
            consul(embedded_agent, "services", "register", str(tmp_path / f"{name}.json"))
        with (
            start_sidecar(CONSUL, embedded_agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(CONSUL, embedded_agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, CONSUL)
            wait_ready(api_sidecar, CONSUL)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            consul(embedded_agent, "intention", "create", "-deny", "api", "web")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")
            consul(embedded_agent, "intention", "create", "-replace", "-allow", "api", "web")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery")


def test_a_proxy_registers_itself_with_a_heartbeat(embedded_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """``consul connect proxy -register``: a TTL check that it renews, gone once it is interrupted."""
    port = free_port()
    with echo_server() as web:
        argv: list[str | Path] = [consul_binary(), "connect", "proxy", "-service", "web", "-register"]
        argv += ["-listen", f"127.0.0.1:{port}", "-service-addr", f"127.0.0.1:{web.port}"]
        env = client_environment(CONSUL_HTTP_ADDR=embedded_agent.address)
        with Program(argv, folder=tmp_path, env=env) as proxy:
            proxy.wait_for(
                lambda: embedded_agent.api.get("/v1/health/connect/web", passing="").json, "it passes"
            )
            assert "web-proxy-ttl" in embedded_agent.api.get("/v1/agent/checks").json
            proxy.end(2)
        wait_until(lambda: embedded_agent.api.get("/v1/agent/services").json == {}, "it is gone")
