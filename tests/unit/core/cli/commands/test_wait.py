"""Waiting for a sidecar, as a process against a small agent."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support.agents import client_environment
from support.mesh_ca import MeshCa
from support.processes import run


class SmallAgent(ThreadingHTTPServer):
    """Answers what ``wait`` asks: by path a status and a body."""

    answers: dict[str, tuple[int, Any]]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: SmallAgent

    def do_GET(self) -> None:
        status, body = self.server.answers.get(
            self.path.partition("?")[0], (404, "unknown service ID: nosuch")
        )
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the test reads the program's output."""


@pytest.fixture
def small_agent(mesh_ca: MeshCa) -> Iterator[SmallAgent]:
    server = SmallAgent(("127.0.0.1", 0), Handler)
    proxy = {
        "Kind": "connect-proxy",
        "ID": "web-sidecar-proxy",
        "Service": "web-sidecar-proxy",
        "Port": 0,
        "Proxy": {"DestinationServiceName": "web", "DestinationServiceID": "web", "Upstreams": []},
    }
    roots = {
        "TrustDomain": "x.consul",
        "ActiveRootID": "r",
        "Roots": [{"ID": "r", "Name": "r", "RootCert": "pem", "Active": True, "IntermediateCerts": None}],
    }
    server.answers = {
        "/v1/agent/service/web-sidecar-proxy": (200, proxy),
        "/v1/agent/services": (200, {"web-sidecar-proxy": proxy}),
        "/v1/agent/connect/ca/roots": (200, roots),
        "/v1/agent/self": (200, {"Member": {"Addr": "127.0.0.1"}}),
    }
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def waited(agent: SmallAgent, *words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "connect_proxy", "wait", "-http-addr", agent.address, *words]
    outcome = run(argv, env=client_environment())
    assert outcome.stdout == ""
    return outcome.returncode, outcome.stderr


@pytest.mark.parametrize("which", [("-proxy-id", "web-sidecar-proxy"), ("-sidecar-for", "web")])
def test_a_ready_sidecar_ends_the_waiting_with_0(small_agent: SmallAgent, which: tuple[str, str]) -> None:
    code, said = waited(small_agent, *which, "-timeout", "60s")
    assert (code, "ready: it has no listener" in said) == (0, True), said


def test_a_closed_listener_is_not_ready_in_time_and_named(small_agent: SmallAgent) -> None:
    small_agent.answers["/v1/agent/service/web-sidecar-proxy"][1].update(
        {"Address": "127.0.0.1", "Port": 1}
    )
    code, said = waited(small_agent, "-sidecar-for", "web", "-timeout", "3s")
    assert code == 5
    assert '"the sidecar of web" is not ready after 3s: the public listener at 127.0.0.1:1' in said


def test_a_missing_registration_is_waited_for(small_agent: SmallAgent) -> None:
    code, said = waited(small_agent, "-proxy-id", "nosuch", "-timeout", "300ms")
    assert code == 5
    assert "nosuch" in said


def test_a_refused_token_ends_the_waiting_at_once(small_agent: SmallAgent) -> None:
    for path in ("/v1/agent/service/web-sidecar-proxy", "/v1/agent/services"):
        small_agent.answers[path] = (403, "ACL not found")
    code, _ = waited(small_agent, "-sidecar-for", "web", "-timeout", "1h")
    assert code == 6


def test_a_token_that_may_not_read_agent_self_is_enough(small_agent: SmallAgent) -> None:
    small_agent.answers["/v1/agent/self"] = (403, "Permission denied")
    code, said = waited(small_agent, "-sidecar-for", "web", "-timeout", "60s")
    assert code == 0, said


def in_catalog(agent: SmallAgent, **more: Any) -> None:
    """The same sidecar, at a node without an agent."""
    proxy = agent.answers.pop("/v1/agent/service/web-sidecar-proxy")[1] | more
    node = {"Node": "pod-1", "Address": "127.0.0.9"}
    agent.answers["/v1/catalog/node-services/pod-1"] = (200, {"Node": node, "Services": [proxy]})
    instance = {"Node": node, "Service": proxy, "Checks": []}
    agent.answers["/v1/health/connect/web"] = (200, [instance])


NAMED = ("-proxy-id", "web-sidecar-proxy", "-node-name", "pod-1")


def test_a_sidecar_that_only_the_catalog_has_is_found_by_its_nodes_name(small_agent: SmallAgent) -> None:
    in_catalog(small_agent)
    code, said = waited(small_agent, *NAMED, "-timeout", "60s")
    assert (code, "ready: it has no listener" in said) == (0, True), said


def test_its_listener_is_looked_for_at_its_nodes_address(small_agent: SmallAgent) -> None:
    in_catalog(small_agent, Port=1)
    code, said = waited(small_agent, *NAMED, "-timeout", "3s")
    assert code == 5
    assert "the public listener at 127.0.0.9:1 " in said
    assert "the public listener at 127.0.0.1:1 " in said


def test_a_nodes_name_alone_says_not_which_proxy(small_agent: SmallAgent) -> None:
    code, said = waited(small_agent, "-sidecar-for", "web", "-node-name", "pod-1")
    assert code == 2
    assert "-node-name 'pod-1' requires -proxy-id" in said
