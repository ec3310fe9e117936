"""SIGUSR2: a new process takes over from the running one, and no caller notices."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from soak.mesh import Side
from support.applications import ask, echo_server
from support.builtin_pair import Pair, pair
from support.embedded_agent import EmbeddedAgent
from support.processes import wait_until

pytestmark = pytest.mark.integration


class Load:
    """Calls without a pause, each on a connection of its own; what failed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.passed = 0
        self.failed: list[str] = []

    @contextlib.contextmanager
    def running(self, callers: int = 2) -> Iterator[None]:
        threads = [threading.Thread(target=self._call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                answer = ask(self._port, b"hello")
            except OSError as exc:
                answer = repr(exc).encode()
            if answer == b"hello":
                self.passed += 1
            else:
                self.failed.append(f"{answer!r} after {self.passed}")


def successor(side: Side) -> int:
    """Pid of the process that has taken over."""
    found = re.findall(r"process (\d+) has taken over", side.program.stderr)
    return int(found[-1]) if found else 0


def upgraded(side: Side) -> int:
    """Replace the process; the new one's pid."""
    side.program.send(signal.SIGUSR2)
    return wait_until(lambda: successor(side), f"the successor of {side.name}")


def talk(connection: socket.socket, text: bytes) -> None:
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        more = connection.recv(100)
        assert more, "the long connection was cut"
        got += more
    assert got == text


def is_alive(pid: int) -> bool:
    """Whether it runs; a process without a parent to wait for it may stay as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def upgrade_both_under_load(mesh: Pair, load: Load) -> list[int]:
    with socket.create_connection(("127.0.0.1", mesh.port), timeout=60) as long:
        talk(long, b"before")
        with load.running():
            wait_until(lambda: load.passed > 20, "load")
            pids = [upgraded(mesh.web), upgraded(mesh.api)]
            talk(long, b"after")
            passed = load.passed
            wait_until(lambda: load.passed > passed + 50 or load.failed, "calls through the new processes")
        assert mesh.web.program.running, "the old one stays for the connection that it carries"
        talk(long, b"still")
    return pids


def test_no_connection_is_refused_or_cut(embedded_agent: EmbeddedAgent, tmp_path: Path) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        load = Load(mesh.port)
        pids = upgrade_both_under_load(mesh, load)
        assert load.failed == []
        for side in mesh.sides:
            assert side.program.wait() == 0
        assert ask(mesh.port, b"hello") == b"hello"
        for side, pid in zip(mesh.sides, pids, strict=True):
            assert side.status()["ready"], "the status moves with the listeners"
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda pid=pid: not is_alive(pid), f"the end of {side.name}'s new process")  # type: ignore[misc]
        assert ask_is_refused(mesh.port)


def ask_is_refused(port: int) -> bool:
    """Whether nobody listens any more: a descriptor that was left open somewhere would still accept."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_new_process_that_does_not_get_ready_changes_nothing(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        assert ask(mesh.port, b"hello") == b"hello"
        embedded_agent.api.deregister("api-sidecar-proxy")  # whom it is to stand for cannot be found
        mesh.api.program.send(signal.SIGUSR2)
        mesh.api.program.wait_for_output("SIGUSR2: going on as before")
        assert mesh.api.program.running
        assert ask(mesh.port, b"hello") == b"hello"


def test_a_stop_while_the_new_process_starts_stops_both(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        mesh.api.program.send(signal.SIGUSR2)
        mesh.api.program.wait_for_output("starting a new process")
        assert mesh.api.program.end() == 0
        wait_until(lambda: ask_is_refused(mesh.port), "nobody listens")
