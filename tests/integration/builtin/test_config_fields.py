"""Every field that Consul's own proxy has, from a definition in Consul's format to its effect."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.agents import client_environment
from support.applications import echo_server, ended
from support.embedded_agent import connect_proxy_program
from support.managed_agent import ManagedHost, echoes, wait_for_traffic
from support.ports import free_port
from support.processes import run, wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration


@pytest.fixture
def consul(real_consul: RealConsul) -> Iterator[RealConsul]:
    """With a prepared query, which is not cleared like services are."""
    body = {"Name": "near-web", "Service": {"Service": "web"}}
    query = real_consul.api.post("/v1/query", body).json["ID"]
    yield real_consul
    real_consul.api.delete(f"/v1/query/{query}")


def definitions(application: int, public: int, upstreams: dict[str, int]) -> str:
    """``web``, and ``api``, which calls it; as Consul 1.2 wrote it."""
    return f"""
services {{
  name = "web"
  port = 1
  connect {{ proxy {{ config {{
    bind_address = "127.0.0.1"
    bind_port = {public}
    local_service_address = "127.0.0.1:{application}"
    local_connect_timeout_ms = 1500
    handshake_timeout_ms = 1200
    tcp_check_address = "127.0.0.1"
  }} }} }}
}}
services {{
  name = "api"
  port = 2
  connect {{ proxy {{ config {{
    bind_address = "127.0.0.1"
    disable_tcp_check = true
    upstreams = [
      {{
        destination_type = "service"
        destination_namespace = "default"
        destination_name = "web"
        destination_datacenter = "dc1"
        local_bind_address = "127.0.0.2"
        local_bind_port = {upstreams["web"]}
        connect_timeout_ms = 2500
      }},
      {{
        destination_type = "prepared_query"
        destination_name = "near-web"
        local_bind_port = {upstreams["near-web"]}
      }},
      {{
        destination_name = "web"
        destination_datacenter = "elsewhere"
        local_bind_port = {upstreams["elsewhere"]}
      }}
    ]
  }} }} }}
}}
"""


def in_force(consul: RealConsul, proxy_id: str) -> dict[str, Any]:
    """What the proxy of this registration would go by."""
    argv: list[str | Path] = [connect_proxy_program(), "--backend", "builtin", "-proxy-id", proxy_id]
    done = run([*argv, "-bootstrap"], env=client_environment(CONSUL_HTTP_ADDR=consul.address))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def speaks(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=60) as caller:
        caller.sendall(b"hello")
        return caller.recv(5) == b"hello"
    return False


def checks_of(consul: RealConsul, proxy_id: str) -> list[dict[str, Any]]:
    found = consul.api.get("/v1/agent/checks").json.values()
    return [check for check in found if check["ServiceID"] == proxy_id]


def assert_values(consul: RealConsul, application: int, public: int, upstreams: dict[str, int]) -> None:
    web, api = in_force(consul, "web-proxy"), in_force(consul, "api-proxy")
    assert web["public_listener"]["address"] == f"127.0.0.1:{public}"
    assert web["public_listener"]["handshake_timeout_ms"] == 1200
    assert web["local_service"]["address"] == f"127.0.0.1:{application}"
    assert web["local_service"]["connect_timeout_ms"] == 1500
    shown = [
        (each["destination_type"], each["destination_name"], each["datacenter"], each["listen"])
        for each in api["upstreams"]
    ]
    assert shown == [
        ("service", "web", "dc1", f"127.0.0.2:{upstreams['web']}"),
        ("prepared_query", "near-web", "", f"127.0.0.1:{upstreams['near-web']}"),
        ("service", "web", "elsewhere", f"127.0.0.1:{upstreams['elsewhere']}"),
    ]
    assert api["upstreams"][0]["connect_timeout_ms"] == 2500


def test_all_of_them_reach_the_proxy_and_hold(consul: RealConsul, tmp_path: Path) -> None:
    public = free_port()
    upstreams = {name: free_port() for name in ("web", "near-web", "elsewhere")}
    with echo_server() as application, ManagedHost(consul=consul, folder=tmp_path) as host:
        host.write("services.hcl", definitions(application.port, public, upstreams))
        host.start()
        wait_until(lambda: speaks("127.0.0.2", upstreams["web"]), "a call to web", deadline_s=60)
        wait_for_traffic(upstreams["near-web"])
        assert not echoes(upstreams["elsewhere"]), "no such datacenter"
        assert_values(consul, application.port, public, upstreams)
        (check,) = checks_of(consul, "web-proxy")
        assert check["Output"] == f"TCP connect 127.0.0.1:{public}: Success"
        assert checks_of(consul, "api-proxy") == []
        with socket.create_connection(("127.0.0.1", public), timeout=60) as silent:
            assert ended(silent), "handshake_timeout_ms is over"
