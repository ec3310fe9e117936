"""Looking after Envoy by its admin API: against a small server that speaks like it."""

from __future__ import annotations

import asyncio
import http.server
import json
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import ProxyControlError
from connect_proxy.plugin_api import ProxyProcess
from connect_proxy_envoy.address import PipeAddress, SocketAddress
from connect_proxy_envoy.admin_client import AdminClient
from connect_proxy_envoy.supervision import DRAIN_LISTENERS, explain_exit, supervision
from support.envoy_context import context, facts
from support.ports import free_port


@dataclass
class AdminState:
    """What the stand-in says, and what it was told."""

    ready: bool = True
    refuses: bool = False
    active: list[int] = field(default_factory=lambda: [0])
    """Inbound connections, one figure for each time it is asked; the last one stays."""
    posted: list[str] = field(default_factory=list)
    listening: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    """``local_address`` of each listener."""


def _handler(state: AdminState) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/ready":
                self._say(200 if state.ready else 503, "LIVE" if state.ready else "DRAINING")
            elif self.path.startswith("/listeners"):
                told = [{"name": "x", "local_address": one} for one in state.listening]
                self._say(200, json.dumps({"listener_statuses": told}))
            elif self.path.startswith("/stats"):
                active = state.active.pop(0) if len(state.active) > 1 else state.active[0]
                stats = [
                    {"name": "listener.0.0.0.0_21000.downstream_cx_active", "value": active},
                    {"name": "listener.admin.downstream_cx_active", "value": 1},
                    {"histograms": {}},
                ]
                self._say(200, json.dumps({"stats": stats}))
            else:
                self._say(200, json.dumps({"state": "LIVE", "version": "abc/1.40.0"}))

        def do_POST(self) -> None:
            state.posted.append(self.path)
            self._say(503 if state.refuses else 200, "no" if state.refuses else "OK")

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def address_string(self) -> str:
            return "unix"

    return Handler


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def state() -> AdminState:
    return AdminState()


@pytest.fixture(params=["tcp", "unix"])
def admin(
    request: pytest.FixtureRequest, state: AdminState, tmp_path: Path
) -> Iterator[SocketAddress | PipeAddress]:
    server: socketserver.BaseServer
    address: SocketAddress | PipeAddress
    if request.param == "tcp":
        tcp = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
        server, address = tcp, SocketAddress(host="127.0.0.1", port=tcp.server_address[1])
    else:
        address = PipeAddress(path=str(tmp_path / "admin.sock"))
        server = _UnixServer(address.path, _handler(state))
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


def test_envoy_is_ready_when_its_admin_api_says_so(
    admin: SocketAddress | PipeAddress, state: AdminState
) -> None:
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.is_ready is not None
    assert asyncio.run(_asked(looked_after.is_ready())) is True
    state.ready = False
    assert asyncio.run(_asked(looked_after.is_ready())) is False


def test_an_envoy_that_does_not_answer_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as closed:
        port = closed.getsockname()[1]
    client = AdminClient(SocketAddress(host="127.0.0.1", port=port))
    assert client.is_ready() is False
    with pytest.raises(ProxyControlError, match="does not answer POST /x"):
        client.post("/x")


def test_an_envoy_that_does_not_answer_has_nothing_to_drain(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", free_port())) as closed:
        admin = SocketAddress(host="127.0.0.1", port=closed.getsockname()[1])
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.drain is not None
    asyncio.run(_asked(looked_after.drain(3600)))
    assert [record.levelname for record in caplog.records if record.name == "connect_proxy.envoy"] == [
        "INFO"
    ]
    assert "stopping Envoy without a drain" in caplog.text


def test_draining_waits_for_the_last_inbound_connection(
    admin: SocketAddress | PipeAddress, state: AdminState
) -> None:
    state.active = [2, 1, 0]
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.drain is not None
    asyncio.run(_asked(looked_after.drain(30)))
    assert state.posted == ["/healthcheck/fail", DRAIN_LISTENERS]
    assert state.active == [0]


def test_draining_ends_with_its_time(admin: SocketAddress | PipeAddress, state: AdminState) -> None:
    state.active = [1]
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.drain is not None
    asyncio.run(_asked(looked_after.drain(0.05)))
    assert state.posted == ["/healthcheck/fail", DRAIN_LISTENERS]


def test_a_refused_order_does_not_take_the_time_to_finish_away(
    admin: SocketAddress | PipeAddress, state: AdminState, caplog: pytest.LogCaptureFixture
) -> None:
    state.refuses, state.active = True, [1, 0]
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.drain is not None
    asyncio.run(_asked(looked_after.drain(30)))
    assert state.active == [0]
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(("level", "said"), [("DEBUG", "debug"), ("WARN", "warning"), ("trace", "trace")])
def test_the_log_level_is_set_in_envoys_words(
    admin: SocketAddress | PipeAddress, state: AdminState, level: str, said: str
) -> None:
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.set_log_level is not None
    asyncio.run(_asked(looked_after.set_log_level(level)))
    assert state.posted == [f"/logging?level={said}"]


def test_logs_are_reopened_and_the_state_is_told(
    admin: SocketAddress | PipeAddress, state: AdminState
) -> None:
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.reopen_logs is not None
    assert looked_after.status is not None
    asyncio.run(_asked(looked_after.reopen_logs()))
    told = asyncio.run(_asked(looked_after.status()))
    assert state.posted == ["/reopen_logs"]
    assert isinstance(told, dict)
    assert told["version"] == "abc/1.40.0"


def test_the_state_of_an_envoy_that_is_gone_says_so(tmp_path: Path) -> None:
    gone = PipeAddress(path=str(tmp_path / "gone"))
    looked_after = supervision(context(host=facts(admin=gone)), ProxyProcess(pid=1))
    assert looked_after.status is not None
    told = asyncio.run(_asked(looked_after.status()))
    assert isinstance(told, dict)
    assert told["state"] == "unreachable"


@pytest.mark.parametrize(
    ("status", "word"),
    [(-signal.SIGKILL, "memory"), (-signal.SIGSEGV, "crashed"), (1, ""), (0, ""), (-signal.SIGTERM, "")],
)
def test_an_end_is_explained_in_words(status: int, word: str) -> None:
    assert word in explain_exit(status)
    assert bool(explain_exit(status)) is bool(word)


async def _asked(answer: object) -> Any:
    return await answer  # type: ignore[misc]  # the hooks promise awaitables, not coroutines


def test_it_shares_the_ports_whose_listeners_do(
    admin: SocketAddress | PipeAddress, state: AdminState
) -> None:
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.share_ports is not None
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as sharing, socket.socket() as alone:
        alone.bind(("127.0.0.1", 0))
        alone.listen()
        shared, other = (
            {"socket_address": {"address": "127.0.0.1", "port_value": sock.getsockname()[1]}}
            for sock in (sharing, alone)
        )
        state.listening = [shared]
        port = sharing.getsockname()[1]
        assert list(asyncio.run(_asked(looked_after.share_ports(True)))) == [f"127.0.0.1:{port}"]
        state.listening = [shared, other]
        with pytest.raises(ProxyControlError, match=r"shares '127\.0\.0\.1:.*' with nobody"):
            asyncio.run(_asked(looked_after.share_ports(True)))
        state.listening = [shared, {"pipe": {"path": "/run/db.sock"}}]
        with pytest.raises(ProxyControlError, match=r"unix socket '/run/db\.sock'"):
            asyncio.run(_asked(looked_after.share_ports(True)))


def test_it_hands_over_once_no_connection_is_left(
    admin: SocketAddress | PipeAddress, state: AdminState
) -> None:
    state.active = [2, 1, 0]
    looked_after = supervision(context(host=facts(admin=admin)), ProxyProcess(pid=1))
    assert looked_after.hand_over is not None
    asyncio.run(_asked(looked_after.hand_over(3600)))
    assert (state.posted, state.active) == (["/healthcheck/fail"], [0])
