from __future__ import annotations

import contextlib
import errno
import socket
import sys
from pathlib import Path

import pytest

from connect_proxy_builtin.dialling import dial, tune
from connect_proxy_builtin.policy import SocketAddress
from support.ports import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_tcp_address_is_dialled_without_waiting(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        sock, _connected = dial(SocketAddress(host=host, port=server.getsockname()[1]))
        assert sock.getblocking() is False
        accepted, _ = server.accept()
        accepted.close()
        sock.close()


def test_a_unix_socket_is_connected_at_once(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        sock, connected = dial(SocketAddress(path=str(tmp_path / "s")))
        assert connected
        sock.close()


def test_a_unix_socket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dial(SocketAddress(path=str(tmp_path / "s")))


def test_a_unix_socket_whose_queue_is_full_is_an_error_that_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as opened:
        server.bind(str(tmp_path / "s"))
        server.listen(0)
        address = SocketAddress(path=str(tmp_path / "s"))
        opened.enter_context(dial(address)[0])  # fills the queue
        with pytest.raises(BlockingIOError, match="queue") as caught:
            dial(address)
        assert caught.value.errno == errno.EAGAIN


def test_a_name_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match=r"'db\.local' is not resolved"):
        dial(SocketAddress(host="db.local", port=1))


def test_dead_peers_are_found_out() -> None:
    with socket.socket() as sock:
        tune(sock, keepalive_s=9.0, user_timeout_s=2.5)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 9
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500


def test_a_connection_on_this_host_is_there_at_once_and_a_refusal_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock, connected = dial(SocketAddress(host="127.0.0.1", port=server.getsockname()[1]))
        with sock:
            assert connected or sys.platform != "linux"
    with pytest.raises(OSError, match="refused"):
        dial(SocketAddress(host="127.0.0.1", port=free_port()))
