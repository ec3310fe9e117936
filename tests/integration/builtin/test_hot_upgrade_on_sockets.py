"""SIGUSR2 where everything local is a unix socket, under a service manager that is told of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from soak.mesh import CHECK
from support.embedded_agent import EmbeddedAgent
from support.processes import Program, wait_until
from support.sidecars import start_sidecar, wait_ready

pytestmark = pytest.mark.integration

UPGRADES = 2
DEADLINE_S = 60.0


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a socket has 107 bytes: pytest's own folders are too deep."""
    with tempfile.TemporaryDirectory(prefix="cp-") as name:
        yield Path(name)


class ServiceManager:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DEADLINE_S)
        self.told: list[str] = []

    def wait_for(self, name: str) -> str:
        """The value of the next line of that name."""
        while True:
            lines = self._socket.recv(4096).decode().splitlines()
            self.told += lines
            for line in lines:
                if line.startswith(f"{name}="):
                    return line.partition("=")[2]

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def echo_on(path: Path) -> Iterator[None]:
    """An application on a unix socket: it sends back what arrives."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def dialled(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(DEADLINE_S)
    sock.connect(str(path))
    return sock


def talk(sock: socket.socket, text: bytes) -> bytes:
    sock.sendall(text)
    got = b""
    while len(got) < len(text) and (more := sock.recv(100)):
        got += more
    return got


class Load:
    """Calls on the socket without a pause, each on a connection of its own; what failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self.passed = 0
        self.failed: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._call)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                with dialled(self._path) as sock:
                    answer = talk(sock, b"hello")
            except OSError as exc:
                answer = repr(exc).encode()
            if answer == b"hello":
                self.passed += 1
            else:
                self.failed.append(f"{answer!r} after {self.passed}")


@contextlib.contextmanager
def sidecars(agent: EmbeddedAgent, folder: Path, manager: Path) -> Iterator[Program]:
    """``web`` before an application on a socket; ``api``, the program, reaches it on another socket."""
    web = {"Check": CHECK, "Proxy": {"LocalServiceSocketPath": f"{folder}/web"}}
    upstream = {
        "DestinationName": "web",
        "LocalBindSocketPath": f"{folder}/upstream",
        "LocalBindSocketMode": "0600",
    }
    api = {"Check": CHECK, "Proxy": {"Upstreams": [upstream]}}
    for name, sidecar in (("web", web), ("api", api)):
        agent.api.register({"Name": name, "Port": 1, "Connect": {"SidecarService": sidecar}})
    env = {"NOTIFY_SOCKET": str(manager)}
    with (
        start_sidecar("builtin", agent, "web", folder=folder) as callee,
        start_sidecar("builtin", agent, "api", folder=folder, env=env) as caller,
    ):
        wait_ready(callee, "builtin")
        yield caller


def ended(pid: int) -> bool:
    """Also as a zombie: who was born of a process that has gone may have nobody to wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_service_manager_hears_of_each_new_main_process_and_no_caller_notices(
    embedded_agent: EmbeddedAgent, short_folder: Path
) -> None:
    upstream = short_folder / "upstream"
    manager = ServiceManager(short_folder / "notify")
    with (
        contextlib.closing(manager),
        echo_on(short_folder / "web"),
        sidecars(embedded_agent, short_folder, short_folder / "notify") as api,
    ):
        manager.wait_for("READY")
        load = Load(upstream)
        pids = [api.pid]
        with dialled(upstream) as long:
            assert talk(long, b"before") == b"before"
            with load.running():
                wait_until(lambda: load.passed > 5, "load")
                for _ in range(UPGRADES):
                    os.kill(pids[-1], signal.SIGUSR2)
                    pids.append(int(manager.wait_for("MAINPID")))
                    passed = load.passed
                    wait_until(lambda passed=passed: load.passed > passed + 20 or load.failed, "more calls")  # type: ignore[misc]
            assert (
                talk(long, b"the first process still carries this")
                == b"the first process still carries this"
            )
        assert load.failed == []
        assert api.wait() == 0
        wait_until(lambda: all(ended(pid) for pid in pids[:-1]), "the end of those that were replaced")
        assert not any(line.startswith("STOPPING") for line in manager.told), "the service goes on"
        assert mode_of(upstream) == 0o600
        with dialled(upstream) as last:
            assert talk(last, b"after") == b"after"
        os.kill(pids[-1], signal.SIGTERM)
        manager.wait_for("STOPPING")
        wait_until(lambda: ended(pids[-1]), "the end of the last one")
        assert not upstream.exists(), "the last one takes its socket with it"
