from __future__ import annotations

import contextlib
import json
import logging
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.mesh.registration import Upstream
from connect_proxy_builtin.access_log import AccessLog, line
from connect_proxy_builtin.messages import Closed
from support.applications import echo_server
from support.builtin_sidecar import Sidecar, endpoint, first_snapshot
from support.mesh_ca import MeshCa
from support.ports import free_port
from support.processes import wait_until

CLOSED = Closed(
    direction="inbound",
    source="spiffe://x/a",
    destination="spiffe://x/b",
    upstream="",
    peer="10.0.0.1:5",
    received=1,
    sent=2,
    seconds=0.25,
    reason="ended",
)


def test_a_line_is_json_with_a_timestamp() -> None:
    text = line(CLOSED, ended_at=datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC))
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "@timestamp": "2026-01-02T03:04:05.678Z",
        "direction": "inbound",
        "source": "spiffe://x/a",
        "destination": "spiffe://x/b",
        "upstream": "",
        "peer": "10.0.0.1:5",
        "received": 1,
        "sent": 2,
        "seconds": 0.25,
        "reason": "ended",
    }


def test_a_renamed_file_is_left_when_the_log_is_opened_again(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog()
    log.use(str(path))
    log.write(CLOSED)
    path.rename(old)
    log.write(CLOSED)
    log.reopen()
    log.write(CLOSED)
    log.close()
    assert len(old.read_text().splitlines()) == 2
    assert len(path.read_text().splitlines()) == 1
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_path_that_cannot_be_opened_is_told_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AccessLog()
    log.use(str(tmp_path / "missing" / "access.log"))
    log.write(CLOSED)
    log.close()
    assert "cannot be opened" in caplog.text


def test_a_full_disk_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog()
    log.use("/dev/full")
    for _ in range(3):
        log.write(CLOSED)
    log.close()
    assert [record.levelno for record in caplog.records].count(logging.ERROR) >= 1
    assert caplog.text.count("cannot be written: No space") <= 2


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def test_both_sides_of_a_connection_are_logged_with_their_identities(
    mesh_ca: MeshCa, tmp_path: Path
) -> None:
    public, local = free_port(), free_port()
    web_log, api_log = tmp_path / "web.log", tmp_path / "api.log"
    with echo_server() as application:
        web = first_snapshot(
            mesh_ca,
            "web",
            public_port=public,
            application_port=application.port,
            config={"access_log": str(web_log)},
        )
        upstream = Upstream(destination_name="web", local_bind_port=local)
        api = first_snapshot(
            mesh_ca,
            "api",
            upstreams=[(upstream, [endpoint("web", public)])],
            config={"access_log": str(api_log)},
        )
        with Sidecar(web) as server, Sidecar(api):
            with socket.create_connection(("127.0.0.1", local), timeout=60) as app:
                app.sendall(b"hello")
                assert app.recv(100) == b"hello"
                app.shutdown(socket.SHUT_WR)
                assert app.recv(100) == b""
            wait_until(lambda: read(web_log) and read(api_log), "two lines")
            server.consul.decide = lambda _service: False
            server.intentions_changed()
            wait_until(lambda: server.proxy.status()["snapshot_generation"] == 2, "the intentions")
            with (
                contextlib.suppress(ConnectionError),
                socket.create_connection(("127.0.0.1", local), timeout=60) as app,
            ):
                app.recv(100)
            wait_until(lambda: len(read(web_log)) == 2, "the refusal")
    inbound, refused = read(web_log)
    outbound = read(api_log)[0]
    for found in (inbound, outbound):
        assert found["source"] == mesh_ca.uri("api")
        assert found["destination"] == mesh_ca.uri("web")
        assert (found["received"], found["sent"], found["reason"]) == (5, 5, "ended")
    assert inbound["peer"].startswith("127.0.0.1:")
    assert (outbound["upstream"], outbound["peer"]) == ("web", f"127.0.0.1:{public}")
    assert (refused["reason"], refused["source"]) == ("denied", mesh_ca.uri("api"))
