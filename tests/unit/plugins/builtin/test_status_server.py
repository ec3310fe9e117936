"""Metrics and status of a running sidecar, asked for as an operator would."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

import pytest

from connect_proxy.errors import ConfigurationError, PortInUseError
from support.builtin_sidecar import Sidecar, first_snapshot
from support.mesh_ca import MeshCa
from support.ports import free_port


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_metrics_status_and_readiness_are_served_on_a_loopback_port(mesh_ca: MeshCa) -> None:
    port, public = free_port(), free_port()
    config = {"status_address": f"127.0.0.1:{port}"}
    with Sidecar(first_snapshot(mesh_ca, "web", public_port=public, config=config)) as server:
        socket.create_connection(("127.0.0.1", public)).close()
        server.wait_for_counter("inbound_refused.tcp_check", 1)
        code, page = get(port, "/metrics")
        assert code == 200
        assert 'connect_proxy_builtin_refused_total{direction="inbound",reason="tcp_check"} 1.0' in page
        code, text = get(port, "/status?pretty")
        assert code == 200
        assert json.loads(text)["certificate"]["identity"] == mesh_ca.uri("web")
        assert "PRIVATE KEY" not in text
        assert get(port, "/ready") == (200, "ready\n")
        assert get(port, "/nowhere")[0] == 404
        assert get(port, "/status", "POST")[0] == 405
        assert get(port, "/status", "HEAD") == (200, "")


def test_the_figures_are_those_of_the_moment(mesh_ca: MeshCa) -> None:
    port, public = free_port(), free_port()
    config = {"status_address": f"127.0.0.1:{port}", "workers": 2}
    with Sidecar(first_snapshot(mesh_ca, "web", public_port=public, config=config)):
        for count in range(1, 4):
            with socket.create_connection(("127.0.0.1", public)) as sock:
                sock.sendall(b"\x16")
                while json.loads(get(port, "/status")[1])["counters"].get("inbound_accepted") != count:
                    pass


def test_a_unix_socket_is_for_its_owner_alone_and_goes_with_the_proxy(
    mesh_ca: MeshCa, tmp_path: Path
) -> None:
    path = tmp_path / "status.sock"
    with (
        Sidecar(first_snapshot(mesh_ca, "web", config={"status_address": f"unix://{path}"})),
        socket.socket(socket.AF_UNIX) as sock,
    ):
        assert path.stat().st_mode & 0o777 == 0o600
        sock.connect(str(path))
        sock.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while data := sock.recv(1000):
            got += data
        assert got.endswith(b"\r\n\r\nready\n")
    assert not path.exists()


@pytest.mark.parametrize("noise", [b"\r\n\r\n", b"x" * 20_000, b"\0\xff\r\n\r\n", b"GET\r\n\r\n"])
def test_noise_does_no_harm(mesh_ca: MeshCa, noise: bytes) -> None:
    port = free_port()
    with Sidecar(first_snapshot(mesh_ca, "web", config={"status_address": f"127.0.0.1:{port}"})):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            sock.sendall(noise)
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(1000):
                    pass
            except ConnectionResetError:
                pass
        assert get(port, "/ready")[0] == 200


def test_an_address_beyond_loopback_is_refused(mesh_ca: MeshCa) -> None:
    snapshot = first_snapshot(mesh_ca, "web", config={"status_address": "0.0.0.0:1"})
    with pytest.raises(ConfigurationError, match="loopback"), Sidecar(snapshot):
        pass


def test_a_taken_port_ends_the_start(mesh_ca: MeshCa) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = {"status_address": f"127.0.0.1:{taken.getsockname()[1]}"}
        snapshot = first_snapshot(mesh_ca, "web", config=config)
        with pytest.raises(PortInUseError, match="status listener"), Sidecar(snapshot):
            pass
