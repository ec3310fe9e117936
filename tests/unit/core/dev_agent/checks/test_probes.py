import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connect_proxy.dev_agent.checks.probes import Result, probe
from connect_proxy.dev_agent.records import CRITICAL, PASSING, WARNING, CheckDefinition
from connect_proxy.mesh.immutable import frozen
from support.ports import free_port

CHECK = CheckDefinition(interval=5, timeout=60)


class Application(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, and says what it was asked."""

    def answer(self) -> None:
        body = f"{self.command} {self.headers.get('X-Probe', '-')}".encode()
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        return int(server.getsockname()[1])


def run(check: CheckDefinition) -> Result:
    return asyncio.run(probe(check))


def test_a_tcp_port_that_accepts_is_passing(application: str) -> None:
    target = application.removeprefix("http://")
    assert run(replace(CHECK, tcp=target)) == Result(
        status=PASSING, output=f"TCP connect {target}: Success"
    )


def test_a_tcp_port_that_refuses_is_critical(closed_port: int) -> None:
    target = f"127.0.0.1:{closed_port}"
    assert run(replace(CHECK, tcp=target)) == Result(
        status=CRITICAL, output=f"dial tcp {target}: connect: connection refused"
    )


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999", ":"])
def test_a_tcp_target_that_makes_no_sense_is_critical(target: str) -> None:
    result = run(replace(CHECK, tcp=target))
    assert result.status == CRITICAL
    assert result.output.startswith(f"dial tcp {target}: ")


@pytest.mark.parametrize(
    ("status", "health"), [(200, PASSING), (204, PASSING), (429, WARNING), (302, CRITICAL), (500, CRITICAL)]
)
def test_an_http_status_is_a_health(application: str, status: int, health: str) -> None:
    result = run(replace(CHECK, http=f"{application}/{status}"))
    assert result.status == health
    assert result.output.startswith(f"HTTP GET {application}/{status}: {status} ")


def test_an_http_check_sends_its_method_and_headers(application: str) -> None:
    check = replace(
        CHECK, http=f"{application}/200", method="POST", header=frozen({"X-Probe": ["one", "two"]})
    )
    assert run(check).output.endswith("Output: POST one, two")


def test_an_http_server_that_refuses_is_critical(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/"
    assert run(replace(CHECK, http=url)) == Result(
        status=CRITICAL, output=f'Get "{url}": connect: connection refused'
    )


@pytest.mark.parametrize("url", ["ftp://x/", "nonsense", "http://[", "http://127.0.0.1:port/"])
def test_an_http_url_that_makes_no_sense_is_critical(url: str) -> None:
    assert run(replace(CHECK, http=url)).status == CRITICAL


def test_a_silent_server_is_critical_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert run(replace(CHECK, http=url, timeout=0.05)) == Result(
            status=CRITICAL, output=f'Get "{url}": i/o timeout'
        )


def test_a_type_that_is_not_run_says_so() -> None:
    result = run(replace(CHECK, grpc="127.0.0.1:1"))
    assert result.status == CRITICAL
    assert "'grpc'" in result.output
