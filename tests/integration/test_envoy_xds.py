"""Who serves xDS to a real Envoy, and what it does with it: the agent's, ours, rotations, refusals."""

from __future__ import annotations

import json
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from support.agents import client_environment
from support.applications import ask, echo_server, greeting_server
from support.consul_api import ConsulApi
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.envoy_sidecars import (
    admin_of,
    admin_socket,
    envoy_sidecar,
    rotate_root,
    statistic,
    wait_ready,
)
from support.mesh_ca import MeshCa
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary, envoys_under_test
from support.repeated_calls import calling
from support.sidecars import register_pair

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", envoys_under_test())
def test_an_envoy_of_today_just_works_on_an_old_consul(
    real_consul: RealConsul, tmp_path: Path, version: str
) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(real_consul, "web", tmp_path, version=version) as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path, version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            assert "xDS by connect-proxy: Consul 1.8.7 is not known to serve xDS v3" in web_sidecar.stderr


def test_neither_token_nor_key_can_be_read_from_envoys_admin_api(
    real_consul: RealConsul, tmp_path: Path
) -> None:
    token = "5ec2e700-0000-4000-8000-000000000000"
    real_consul.api.register({"Name": "web", "Port": 1, "Connect": {"SidecarService": {}}})
    with envoy_sidecar(real_consul, "web", tmp_path, CONSUL_HTTP_TOKEN=token) as sidecar:
        wait_ready(sidecar, tmp_path, "web")
        admin = ConsulApi(address=f"unix://{admin_socket(tmp_path, 'web')}")
        for path in ("/config_dump", "/server_info", "/certs", "/clusters", "/listeners"):
            shown = admin.get(path).text
            assert shown
            assert token not in shown
            assert "PRIVATE KEY" not in shown


def test_the_embedded_agents_xds_drives_an_envoy_that_runs_alone(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(embedded_agent, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(embedded_agent, "web", tmp_path) as web_sidecar,
            envoy_sidecar(embedded_agent, "api", tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            assert "xDS by the agent" in api_sidecar.stderr
            assert Path(f"/proc/{api_sidecar.pid}/exe").resolve().name == "envoy"
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            embedded_agent.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")
            embedded_agent.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery")


def test_a_printed_bootstrap_starts_an_envoy_on_the_embedded_agent(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    embedded_agent.api.register({"Name": "web", "Port": 1, "Connect": {"SidecarService": {}}})
    environment = client_environment(CONSUL_HTTP_ADDR=embedded_agent.address)
    argv: list[str | Path] = [connect_proxy_program(), "envoy", "-sidecar-for", "web", "-bootstrap"]
    argv += ["-admin-bind", f"unix://{admin_socket(tmp_path, 'web')}"]
    with Program(argv, folder=tmp_path, env=environment) as printing:
        assert printing.wait() == 0
        document = json.loads(printing.stdout)
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(document))
    words: list[str | Path] = [envoy_binary(), "--config-path", path, "--disable-hot-restart"]
    with Program(words, folder=tmp_path) as envoy:
        wait_ready(envoy, tmp_path, "web")
        listeners = admin_of(tmp_path, "web").statistics("listener_manager.total_listeners_active")
        assert listeners == {"listener_manager.total_listeners_active": 1}


@pytest.mark.parametrize("version", envoys_under_test())
def test_a_new_root_drops_nothing_and_re_sends_no_listener(tmp_path: Path, version: str) -> None:
    upstream = free_port()
    with (
        RealConsul(folder=tmp_path / "consul") as consul,
        echo_server() as web,
    ):
        register_pair(consul, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(consul, "web", tmp_path, version=version) as web_sidecar,
            envoy_sidecar(consul, "api", tmp_path, version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            admin = admin_of(tmp_path, "web")
            listeners = admin.statistics("listener_manager.lds.update_success")
            with calling(upstream) as calls, socket.create_connection(("127.0.0.1", upstream)) as held:
                rotate_root(consul)
                # Consul spreads the new leaves over half a minute.
                wait_until(lambda: _roots_of_leaf(tmp_path) >= 2, "the new leaf", deadline_s=120)
                before = calls.made
                wait_until(lambda: calls.made > before + 5, "calls with the new certificates")
                held.sendall(b"still here")
                assert held.recv(10) == b"still here"
            assert calls.failed == 0
            assert admin.statistics("listener_manager.lds.update_success") == listeners


def test_a_listener_that_cannot_bind_is_named_and_comes_when_the_port_is_free(
    real_consul: RealConsul, tmp_path: Path
) -> None:
    first, second = free_port(), free_port()
    with echo_server() as web, socket.create_server(("127.0.0.1", second)) as squatter:
        register_pair(real_consul, web_port=web.port, upstream_port=first)
        with (
            envoy_sidecar(real_consul, "web", tmp_path) as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            register_pair(real_consul, web_port=web.port, upstream_port=second)
            api_sidecar.wait_for_output(f"Envoy refuses Listener web:127.0.0.1:{second}: ")
            api_sidecar.send(signal.SIGUSR1)
            api_sidecar.wait_for_output('"refused": ["Envoy refuses Listener')
            squatter.close()
            wait_until(lambda: ask(second, b"hello") == b"hello", "the listener, tried again")


def test_a_stop_waits_for_callers_and_not_for_the_applications_own_calls(
    real_consul: RealConsul, tmp_path: Path
) -> None:
    upstream = free_port()
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(real_consul, "web", tmp_path, "-drain-time", "60s") as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path, "-drain-time", "60s") as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as held:
                held.sendall(b"one")
                assert held.recv(3) == b"one"
                web_sidecar.send(signal.SIGTERM)
                wait_until(lambda: not admin_of(tmp_path, "web").is_ready(), "it drains")
                held.sendall(b"two")
                assert held.recv(3) == b"two"
                assert api_sidecar.end() == 0
            assert web_sidecar.wait() == 0


def test_a_certificate_of_another_mesh_is_refused(real_consul: RealConsul, tmp_path: Path) -> None:
    """Also one that claims the right identity."""
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=free_port())
        with envoy_sidecar(real_consul, "web", tmp_path) as sidecar:
            wait_ready(sidecar, tmp_path, "web")
            trust_domain = real_consul.api.get("/v1/agent/connect/ca/roots").json["TrustDomain"]
            port = real_consul.api.get("/v1/agent/service/web-sidecar-proxy").json["Port"]
            for stranger in (MeshCa(trust_domain=trust_domain).leaf("api"), None):
                assert _answer(port, stranger, tmp_path) == b""
            assert web.arrived() == 0


@pytest.mark.parametrize("version", envoys_under_test())
def test_a_denied_caller_does_not_hear_an_application_that_speaks_first(
    real_consul: RealConsul, tmp_path: Path, version: str
) -> None:
    upstream = free_port()
    with greeting_server(b"220 ready") as web:
        register_pair(real_consul, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(real_consul, "web", tmp_path, version=version) as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path, version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: _greeting(upstream) == b"220 ready", "the greeting")
            real_consul.api.set_intention("api", "web", "deny")
            wait_until(lambda: _greeting(upstream) == b"", "the refusal")
            greeted = web.arrived()
            assert _greeting(upstream) == b""
            if version != "1.36":  # connects to the application before it knows who calls
                assert web.arrived() == greeted


def _greeting(port: int) -> bytes:
    """What is heard without saying anything."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            return connection.recv(100)
    except ConnectionError:
        return b""


def _answer(port: int, identity: Any, folder: Path) -> bytes:
    """What a TLS client with that certificate (or none) hears from the public listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        (folder / "cert.pem").write_text(identity.certificate_pem)
        (folder / "key.pem").write_text(identity.private_key_pem)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain) as tls,
        ):
            tls.sendall(b"hello")
            return tls.recv(5)
    except (ssl.SSLError, ConnectionError):
        return b""


def _roots_of_leaf(folder: Path) -> int:
    """How often the leaf was taken over."""
    return statistic(folder, "web", "sds.leaf.update_success")
