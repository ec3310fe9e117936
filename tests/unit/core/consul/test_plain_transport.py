"""The shortest way to ask the agent: plain HTTP/1.0 over a blocking socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.plain_transport import PlainTransport, is_plain
from connect_proxy.consul.request import AgentRequest, HttpAnswer
from connect_proxy.errors import AgentUnreachableError
from connect_proxy.secret import Secret

REQUEST = AgentRequest(path="/v1/agent/self", params={"dc": "a b"})


@contextmanager
def _server(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answers one connection with *answer* and notes what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join()


def _exchange(access: AgentAccess, request: AgentRequest = REQUEST, token: str = "") -> HttpAnswer:
    with pytest.raises(StopIteration) as done:
        PlainTransport(access).exchange(request, token=Secret(token)).send(None)
    answer = done.value.value
    assert isinstance(answer, HttpAnswer)
    return answer


def test_an_answer_is_read_whole_without_an_event_loop() -> None:
    with _server(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nX-Consul-Index: 7\r\n\r\n{}") as (port, asked):
        answer = _exchange(AgentAccess(port=port, http_auth=Secret("me:pw")), token="t0ken")
    assert answer == HttpAnswer(
        status=200, headers={"content-length": "2", "x-consul-index": "7"}, body=b"{}"
    )
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"GET /v1/agent/self?dc=a+b HTTP/1.0"
    assert b"Host: 127.0.0.1:%d" % port in lines
    assert b"X-Consul-Token: t0ken" in lines
    assert b"Authorization: Basic bWU6cHc=" in lines


def test_a_status_that_is_no_success_is_an_answer_too() -> None:
    with _server(b"HTTP/1.0 403 Forbidden\r\n\r\nPermission denied") as (port, _):
        answer = _exchange(AgentAccess(port=port))
    assert (answer.status, answer.body) == (403, b"Permission denied")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2",
        b"HTTP/1.0 zwei OK\r\n\r\n",
    ],
    ids=["nothing", "not-http", "cut-off", "chunked", "half-a-head", "no-status"],
)
def test_whatever_is_not_a_whole_answer_is_left_to_the_other_transport(answer: bytes) -> None:
    with _server(answer) as (port, _), pytest.raises(AgentUnreachableError):
        PlainTransport(AgentAccess(port=port)).exchange(REQUEST, token=Secret("")).send(None)


def test_a_write_is_left_to_the_other_transport() -> None:
    request = AgentRequest(method="PUT", path="/v1/agent/self", body={})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        work = PlainTransport(AgentAccess(port=listener.getsockname()[1])).exchange(
            request, token=Secret("")
        )
        with pytest.raises(AgentUnreachableError):
            work.send(None)


@pytest.mark.parametrize(
    ("access", "plain"),
    [
        (AgentAccess(), True),
        (AgentAccess(scheme="unix", socket_path="/run/consul.sock"), True),
        (AgentAccess(scheme="https"), False),
        (AgentAccess(ca_file="/no/such/file"), False),
        (AgentAccess(tls_server_name="consul"), False),
    ],
)
def test_only_plain_http_goes_this_way(access: AgentAccess, plain: bool) -> None:
    assert is_plain(access) is plain
