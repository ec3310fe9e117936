"""A sidecar in the course of time: ready, registration gone and back, Consul gone and back, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from support.agents import AgentUnderTest, client_environment
from support.applications import ask, echo_server, ended
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.ports import free_port
from support.processes import Program, run, wait_until
from support.real_consul import RealConsul
from support.sidecars import register_pair, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

BACKENDS = ["builtin", "envoy"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_service_manager_is_told_once_traffic_can_flow(
    real_consul: RealConsul, backend: str, tmp_path: Path
) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        env = {"NOTIFY_SOCKET": str(path)}
        with start_sidecar(backend, real_consul, "web", folder=tmp_path, env=env) as sidecar:
            told = ""
            while "READY=1" not in told:
                told = manager.recv(4096).decode()
            # It is true: the public listener accepts.
            port = real_consul.api.get("/v1/agent/service/web-sidecar-proxy").json["Port"]
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            sidecar.send(signal.SIGTERM)
            while "STOPPING=1" not in told:
                told = manager.recv(4096).decode()


def test_the_service_manager_is_told_of_a_proxy_that_took_our_place(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    """Envoy fed by the agent is exec'd: somebody else has to look whether it is ready."""
    register_pair(embedded_agent, web_port=1, upstream_port=free_port())
    path = tmp_path / "notify"
    words = ["-xds", "agent", "-grpc-addr", embedded_agent.grpc_address]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        env = {"NOTIFY_SOCKET": str(path)}
        with start_sidecar(
            "envoy", embedded_agent, "web", folder=tmp_path, env=env, words=words
        ) as sidecar:
            told = ""
            while "READY=1" not in told:
                told = manager.recv(4096).decode()
            port = embedded_agent.api.get("/v1/agent/service/web-sidecar-proxy").json["Port"]
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            assert sidecar.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stop_signal_ends_an_idle_sidecar_with_success(
    real_consul: RealConsul, backend: str, number: signal.Signals, tmp_path: Path
) -> None:
    register_pair(real_consul, web_port=1, upstream_port=free_port())
    with start_sidecar(backend, real_consul, "web", folder=tmp_path) as sidecar:
        wait_ready(sidecar, backend)
        assert sidecar.end(number) == 0


def test_connections_finish_while_it_drains(agent: AgentUnderTest, tmp_path: Path) -> None:
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
                connection.sendall(b"one")
                assert connection.recv(3) == b"one"
                web_sidecar.send(signal.SIGTERM)
                web_sidecar.wait_for_output("draining")
                connection.sendall(b"two")
                assert connection.recv(3) == b"two"
                assert web_sidecar.running
            assert web_sidecar.wait() == 0


def test_a_second_signal_stops_at_once(agent: AgentUnderTest, tmp_path: Path) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar(
                "builtin", agent, "web", folder=tmp_path, words=["-drain-time", "10m"]
            ) as web_sidecar,
            start_sidecar("builtin", agent, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as connection:
                connection.sendall(b"one")
                assert connection.recv(3) == b"one"
                web_sidecar.send(signal.SIGTERM)
                web_sidecar.wait_for_output("draining")
                assert web_sidecar.running
                web_sidecar.send(signal.SIGTERM)
                assert web_sidecar.wait() == 128 + signal.SIGTERM
                assert ended(connection)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_vanished_registration_changes_nothing_until_it_is_back(
    real_consul: RealConsul, backend: str, tmp_path: Path
) -> None:
    upstream, other = free_port(), free_port()
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("builtin", real_consul, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(backend, real_consul, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, backend)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            real_consul.api.deregister("api")
            api_sidecar.wait_for(
                lambda: _dumped_state(api_sidecar) == "unregistered", "the state 'unregistered'"
            )
            assert ask(upstream, b"hello") == b"hello"
            register_pair(real_consul, web_port=web.port, upstream_port=other)
            wait_until(lambda: ask(other, b"hello") == b"hello", "the changed upstream is taken up")


def _dumped_state(sidecar: Program) -> str:
    """The state of its registration as SIGUSR1 shows it."""
    seen = sidecar.stderr.count("state: {")
    sidecar.send(signal.SIGUSR1)
    complete = re.compile(r"state: (\{.*\})\n")
    sidecar.wait_for(lambda: len(complete.findall(sidecar.stderr)) > seen, "the state dump")
    return str(json.loads(complete.findall(sidecar.stderr)[-1])["registration"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_consul_may_be_killed_and_come_back_while_traffic_flows(backend: str, tmp_path: Path) -> None:
    upstream = free_port()
    with (
        RealConsul(folder=tmp_path / "consul", durable=True) as consul,
        echo_server() as web,
    ):
        register_pair(consul, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar(backend, consul, "web", folder=tmp_path) as web_sidecar,
            start_sidecar(backend, consul, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, backend)
            wait_ready(api_sidecar, backend)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as connection:
                connection.sendall(b"one")
                assert connection.recv(3) == b"one"
                consul.stop()
                connection.sendall(b"two")
                assert connection.recv(3) == b"two"
                consul.restart()
                connection.sendall(b"six")
                assert connection.recv(3) == b"six"
            # A restarted agent calls every check critical until it hears of it again.
            for service in ("web", "api"):
                consul.api.put(f"/v1/agent/check/pass/service:{service}-sidecar-proxy")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "new calls pass")
            consul.api.set_intention("api", "web", "deny")
            wait_until(
                lambda: ask(upstream, b"hello") == b"", "what changes is noticed again", deadline_s=60
            )


def test_new_connections_pass_while_consul_is_away(tmp_path: Path) -> None:
    """What was decided before stays in force."""
    upstream = free_port()
    with (
        RealConsul(folder=tmp_path / "consul", durable=True) as consul,
        echo_server() as web,
    ):
        register_pair(consul, web_port=web.port, upstream_port=upstream)
        with (
            start_sidecar("builtin", consul, "web", folder=tmp_path) as web_sidecar,
            start_sidecar("builtin", consul, "api", folder=tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            consul.stop()
            for _ in range(5):
                assert ask(upstream, b"hello") == b"hello"


def test_wait_ends_once_the_sidecar_serves(agent: AgentUnderTest, tmp_path: Path) -> None:
    register_pair(agent, web_port=1, upstream_port=free_port())
    env = client_environment(CONSUL_HTTP_ADDR=agent.address)
    words = ["wait", "-proxy-id", "web-sidecar-proxy", "-timeout", "60s"]
    node = str(agent.api.get("/v1/agent/self").json["Config"]["NodeName"])
    with start_sidecar("builtin", agent, "web", folder=tmp_path):
        for more in ([], ["-node-name", node]):
            done = run([connect_proxy_program(), *words, *more], env=env, deadline_s=90)
            assert done.returncode == 0, done.stderr


def test_wait_gives_up_with_5(agent: AgentUnderTest) -> None:
    register_pair(agent, web_port=1, upstream_port=free_port())
    env = client_environment(CONSUL_HTTP_ADDR=agent.address)
    for proxy_id in ("web-sidecar-proxy", "nobody"):
        done = run([connect_proxy_program(), "wait", "-proxy-id", proxy_id, "-timeout", "300ms"], env=env)
        assert done.returncode == 5, done.stderr
        assert proxy_id in done.stderr


def test_a_registration_that_comes_later_is_waited_for(agent: AgentUnderTest, tmp_path: Path) -> None:
    with start_sidecar("builtin", agent, "web", folder=tmp_path, words=["-wait", "30s"]) as sidecar:
        sidecar.wait_for_output("web")
        register_pair(agent, web_port=1, upstream_port=free_port())
        wait_ready(sidecar, "builtin")


def test_a_waiting_sidecar_can_be_stopped(agent: AgentUnderTest, tmp_path: Path) -> None:
    with start_sidecar("builtin", agent, "web", folder=tmp_path, words=["-wait", "10m"]) as sidecar:
        sidecar.wait_for_output("web")
        assert sidecar.end(signal.SIGTERM) in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


def test_a_rotated_token_file_is_taken_up(tmp_path: Path) -> None:
    """A token that is replaced in its file is used without a restart; the old one may then be deleted."""
    upstream = free_port()
    with RealConsul(folder=tmp_path / "consul", acl=True) as consul, echo_server() as web:
        register_pair(consul, web_port=web.port, upstream_port=upstream)
        first, second = (
            consul.api.put("/v1/acl/token", {"Policies": [{"Name": "global-management"}]}).json
            for _ in "12"
        )
        token_file = tmp_path / "token"
        token_file.write_text(first["SecretID"])
        consul.api.set_intention("api", "web", "allow")
        words = ["-token-file", str(token_file)]
        with (
            start_sidecar("builtin", consul, "web", folder=tmp_path, words=words) as web_sidecar,
            start_sidecar("builtin", consul, "api", folder=tmp_path, words=words) as api_sidecar,
        ):
            wait_ready(web_sidecar, "builtin")
            wait_ready(api_sidecar, "builtin")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            replacement = tmp_path / "token.new"
            replacement.write_text(second["SecretID"])
            os.replace(replacement, token_file)
            for sidecar in (web_sidecar, api_sidecar):
                sidecar.send(signal.SIGHUP)
            assert consul.api.delete(f"/v1/acl/token/{first['AccessorID']}").status == 200
            consul.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal is noticed", deadline_s=60)
            consul.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery too", deadline_s=60)
