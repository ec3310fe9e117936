"""IPv4, IPv6 and unix sockets: the agent, the upstream's listener and the application."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.agents import AgentUnderTest
from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.sidecars import consul, register_pair, start_sidecar, wait_ready
from support.tls_files import make_server_tls

pytestmark = pytest.mark.integration


def _call_through(
    agent: AgentUnderTest,
    folder: Path,
    *,
    address: str = "",
    host: str = "127.0.0.1",
    env: dict[str, str] | None = None,
) -> None:
    """One call from api to web through two builtin sidecars."""
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream, upstream_host=host)
        with (
            start_sidecar("builtin", agent, "web", folder=folder, address=address, env=env) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=folder, address=address, env=env) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello", host=host) == b"hello", "the call")


def test_the_upstream_listens_on_ipv6(agent: AgentUnderTest, tmp_path: Path) -> None:
    _call_through(agent, tmp_path, host="::1")


def test_the_embedded_agent_on_ipv6(tmp_path: Path) -> None:
    with EmbeddedAgent(folder=tmp_path, client="::1") as agent:
        assert agent.address.startswith("[::1]:")
        _call_through(agent, tmp_path)


def test_the_embedded_agent_on_a_unix_socket(tmp_path: Path) -> None:
    """Sidecars and the real ``consul`` program both find it there."""
    socket_path = tmp_path / "agent.sock"
    with EmbeddedAgent(folder=tmp_path, client=f"unix://{socket_path}") as agent:
        assert agent.address == f"unix://{socket_path}"
        _call_through(agent, tmp_path)
        assert "web-sidecar-proxy" in consul(agent, "catalog", "services")
        agent.stop(signal.SIGTERM)
        assert not socket_path.exists()


def test_a_consul_on_ipv6(tmp_path: Path) -> None:
    with RealConsul(folder=tmp_path, client="::1") as agent:
        _call_through(agent, tmp_path)


def test_a_consul_on_a_unix_socket(tmp_path: Path) -> None:
    socket_path = tmp_path / "consul.sock"
    with RealConsul(folder=tmp_path, unix_socket=socket_path) as agent:
        _call_through(agent, tmp_path, address=f"unix://{socket_path}")


def test_a_consul_that_wants_tls_with_client_certificates(tmp_path: Path) -> None:
    tls = make_server_tls(tmp_path / "tls")
    with RealConsul(folder=tmp_path, tls=tls) as agent:
        env = {
            "CONSUL_CACERT": str(tls.ca_file),
            "CONSUL_CLIENT_CERT": str(tls.client_cert_file),
            "CONSUL_CLIENT_KEY": str(tls.client_key_file),
        }
        _call_through(agent, tmp_path, address=agent.url, env=env)


def test_an_application_on_ipv6(agent: AgentUnderTest, tmp_path: Path) -> None:
    upstream = free_port()
    with echo_server("::1") as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        check = {"TTL": "1h", "Status": "passing"}
        sidecar = {"Check": check, "Proxy": {"LocalServiceAddress": "::1"}}
        agent.api.register({"Name": "web", "Port": web.port, "Connect": {"SidecarService": sidecar}})
        with (
            start_sidecar("builtin", agent, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the call")
