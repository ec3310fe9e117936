"""A real Envoy behind ``--backend envoy``: traffic, intentions, endpoints that change, pass-through."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.agents import AgentUnderTest, client_environment
from support.applications import ask, echo_server, greeting_server
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.envoy_programs import recorded, recording_envoy
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary, envoys_under_test
from support.sidecars import register_pair, start_sidecar, wait_ready

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("caller", ["builtin", "envoy"])
def test_endpoints_come_and_go(real_consul: RealConsul, caller: str, tmp_path: Path) -> None:
    """The only instance is replaced by another one on another port."""
    upstream = free_port()

    def greeting() -> bytes:
        return ask(upstream, b"123")[:3]

    check = {"TTL": "1h", "Status": "passing"}
    with greeting_server(b"one") as first, greeting_server(b"two") as second:
        register_pair(real_consul, web_port=first.port, upstream_port=upstream)
        with (
            start_sidecar("builtin", real_consul, "web", folder=tmp_path) as one,
            start_sidecar(caller, real_consul, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(one, "builtin")
            wait_ready(api_sidecar, caller)
            wait_until(lambda: greeting() == b"one", "the first instance answers")
            connect = {"SidecarService": {"Check": check}}
            real_consul.api.register({"Name": "web", "ID": "web2", "Port": second.port, "Connect": connect})
            with start_sidecar("builtin", real_consul, "web2", folder=tmp_path) as two:
                wait_ready(two, "builtin")
                real_consul.api.deregister("web")
                wait_until(lambda: greeting() == b"two", "the second instance answers")


@pytest.mark.parametrize("xds", ["agent", "local"])
def test_words_after_the_dashes_reach_envoy_unchanged(
    real_consul: RealConsul, tmp_path: Path, xds: str
) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    argv: list[str | Path] = [
        connect_proxy_program(),
        "--backend",
        "envoy",
        "-sidecar-for",
        "web",
        "-xds",
        xds,
    ]
    argv += ["-envoy-binary", recording_envoy(tmp_path), "-grpc-addr", real_consul.grpc_address]
    argv += ["-admin-bind", "127.0.0.1:0", "-ignore-envoy-compatibility", "--", "-l", "debug", "--", "-x"]
    env = client_environment(CONSUL_HTTP_ADDR=real_consul.address)
    with Program(argv, folder=tmp_path, env=env) as program:
        assert program.wait() == 7, "Envoy's own exit code"
    called = recorded(tmp_path)
    assert called["argv"][-4:] == ["-l", "debug", "--", "-x"]


def test_a_real_envoy_takes_the_log_level(real_consul: RealConsul, tmp_path: Path) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    words = ["-admin-bind", "127.0.0.1:0", "--", "-l", "debug"]
    with start_sidecar("envoy", real_consul, "web", folder=tmp_path, words=words) as sidecar:
        wait_ready(sidecar, "envoy")
        assert "[debug]" in sidecar.output


def test_an_agent_that_serves_this_envoy_is_its_source(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    """``-xds agent``: connect-proxy itself is gone, Envoy takes its resources from the agent."""
    upstream = free_port()
    words = ["-xds", "agent", "-grpc-addr", embedded_agent.grpc_address, "-admin-bind", "127.0.0.1:0"]
    with echo_server() as web:
        register_pair(embedded_agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("envoy", embedded_agent, "web", folder=tmp_path, words=words) as web_sidecar,
            start_sidecar("envoy", embedded_agent, "api", folder=tmp_path, words=words) as api_sidecar,
        ):
            for sidecar in (web_sidecar, api_sidecar):
                sidecar.wait_for_output("all dependencies initialized. starting workers")
                assert Path(f"/proc/{sidecar.pid}/exe").resolve() == envoy_binary().resolve()
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            embedded_agent.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")
            embedded_agent.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery")


def test_auto_chooses_what_works_and_says_why(agent: AgentUnderTest, tmp_path: Path) -> None:
    """Consul 1.8.7 speaks no xDS that this Envoy knows; the embedded agent does."""
    register_pair(agent, web_port=1, upstream_port=free_port())
    words = ["-xds", "auto", "-grpc-addr", agent.grpc_address]
    with start_sidecar("envoy", agent, "web", folder=tmp_path, words=words) as sidecar:
        if agent.kind == "embedded":
            sidecar.wait_for_output("xDS by the agent")
        else:
            sidecar.wait_for_output("xDS by connect-proxy")
        sidecar.wait_for_output("all dependencies initialized. starting workers")


@pytest.mark.parametrize("version", envoys_under_test())
def test_the_oldest_and_the_newest_envoy_carry_traffic(
    embedded_agent: EmbeddedAgent, version: str, tmp_path: Path
) -> None:
    upstream = free_port()
    words = ["-envoy-binary", str(envoy_binary(version))]
    with echo_server() as web:
        register_pair(embedded_agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("envoy", embedded_agent, "web", folder=tmp_path, words=words) as web_sidecar,
            start_sidecar("builtin", embedded_agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "envoy")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the call")
