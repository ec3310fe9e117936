"""New before old: a managed proxy is replaced under load, and nobody who calls can tell."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.supervisor.identity import identity_of
from support.applications import TcpServer, ask, echo_server
from support.managed_agent import ManagedHost, wait_for_traffic
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary

pytestmark = pytest.mark.integration

PACE_S = 0.002
CALLERS = 2


@pytest.fixture(scope="module")
def shared_consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("consul"), grpc=True) as running:
        yield running


@pytest.fixture
def host(shared_consul: RealConsul, tmp_path: Path) -> Iterator[ManagedHost]:
    programs = tmp_path / "bin"
    programs.mkdir()
    # pytest's own folders are so deep that the proxies' control sockets may not fit into their address.
    with (
        tempfile.TemporaryDirectory(prefix="cp-", ignore_cleanup_errors=True) as short,
        ManagedHost(consul=shared_consul, folder=Path(short) / "host", path=[programs]) as made,
    ):
        yield made
        for name in made.definitions.glob("*.json"):
            name.unlink()
        if made.agent is not None and made.agent.running:
            made.command("reload")
            print(made.agent.picture())


@pytest.fixture
def echo() -> Iterator[TcpServer]:
    with echo_server() as server:
        yield server


class Load:
    """Calls all the time, each on a connection of its own; and two connections that are kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        self.made = 0
        self.failed: list[str] = []
        self.kept: list[socket.socket] = []

    def _call(self) -> None:
        while not self._over.wait(PACE_S):
            answer = ask(self._port, b"hello")
            if answer != b"hello":
                self.failed.append(f"{answer!r} after {self.made}")
            self.made += 1

    def __enter__(self) -> Load:
        self.dial()
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.hang_up()

    def dial(self) -> None:
        """Two connections to keep."""
        self.kept = [socket.create_connection(("127.0.0.1", self._port), 60) for _ in range(2)]
        self.talk()

    def talk(self) -> None:
        """On the kept connections, which stand as they stood."""
        for connection in self.kept:
            connection.settimeout(60)
            connection.sendall(b"still here")
            assert connection.recv(10, socket.MSG_WAITALL) == b"still here"

    def hang_up(self) -> None:
        for connection in self.kept:
            connection.close()
        self.kept = []

    def go_on(self) -> None:
        """Until some more calls were made."""
        seen = self.made
        wait_until(lambda: self.made > seen + 50, "more calls")


def upstream(name: str, port: int) -> dict[str, Any]:
    return {"destination_name": name, "local_bind_port": port}


def services(host: ManagedHost, echo: TcpServer, port: int, backend: str) -> None:
    """web calls db, each through its own proxy; *port* is web's own way there."""
    proxy = {} if backend == "builtin" else {"backend": backend}
    host.service("db", echo.port, {"proxy": proxy})
    host.service("web", free_port(), {"proxy": {**proxy, "config": {"upstreams": [upstream("db", port)]}}})


def with_envoy(host: ManagedHost) -> None:
    (Path(host.path[0]) / "envoy").symlink_to(envoy_binary())


def exchanged(host: ManagedHost, before: dict[str, int]) -> bool:
    """Whether all have new processes, and these alone."""
    rows = host.status()
    return all(
        row["pid"] not in {None, before[row["id"]]} and row["beside"] is None and row["state"] == "running"
        for row in rows
    )


def wait_for_a_new_one(host: ManagedHost) -> None:
    """By the agent's log: before ``status`` is started and has answered, a drain may be over."""
    assert host.agent is not None
    host.agent.wait_for_output("ready; pid ")


def alone(pid: int) -> bool:
    return identity_of(pid) is None


def serving(host: ManagedHost, echo: TcpServer, backend: str = "builtin") -> tuple[int, dict[str, int]]:
    """Started and called; web's local port and the pids."""
    port = free_port()
    services(host, echo, port, backend)
    host.start()
    wait_for_traffic(port)
    return port, host.pids()


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_restart_refuses_and_cuts_nothing(host: ManagedHost, echo: TcpServer, all_of_them: bool) -> None:
    port, before = serving(host, echo)
    with Load(port) as load:
        if all_of_them:
            load.hang_up()
            host.command("restart", "-all")
        for name in () if all_of_them else before:
            assert host.command("restart", name) == f"restart: {name}\n"
            load.talk()
            assert host.row(name)["pid"] != before[name]
            load.hang_up()
            load.dial()
        load.go_on()
        wait_until(lambda: exchanged(host, before), "the old processes' end")
        load.talk()
    assert load.failed == []
    assert all(alone(pid) for pid in before.values())


@pytest.mark.parametrize(("old", "new"), [("builtin", "envoy"), ("envoy", "builtin"), ("envoy", "envoy")])
def test_another_backend_takes_over_and_nobody_can_tell(
    host: ManagedHost, echo: TcpServer, old: str, new: str
) -> None:
    with_envoy(host)
    port, before = serving(host, echo, old)
    with Load(port) as load:
        if new == old:
            load.hang_up()  # one after the other, which may last longer than a drain
            host.command("restart", "-all")
            load.dial()
        else:
            services(host, echo, port, new)
            assert set(host.command("reload").splitlines()) >= {
                "~ db-proxy (restart)",
                "~ web-proxy (restart)",
            }
        wait_for_a_new_one(host)
        load.talk()
        load.hang_up()
        wait_until(lambda: exchanged(host, before), "the old processes' end")
        load.go_on()
    assert load.failed == []
    assert {row["backend"] for row in host.status()} == {new}


def hanging_envoy(host: ManagedHost) -> None:
    """An Envoy that tells its version and does nothing else."""
    program = Path(host.path[0]) / "envoy"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) echo "envoy  version: x/1.40.0/Clean/RELEASE/B" ;;'
        " *) exec sleep 600 ;; esac\n"
    )
    program.chmod(0o755)


def test_a_new_one_that_never_gets_ready_takes_nothing_down(host: ManagedHost, echo: TcpServer) -> None:
    hanging_envoy(host)
    port, before = serving(host, echo)
    with Load(port) as load:
        services(host, echo, port, "envoy")
        host.command("reload")
        wait_until(lambda: all(row["beside"] for row in host.status()), "the new processes")
        new = [row["beside"] for row in host.status()]
        load.talk()
        load.go_on()
        for row in host.status():
            assert (row["pid"], row["state"]) == (before[row["id"]], "running")
        services(host, echo, port, "builtin")
        host.command("reload")
        load.talk()
        load.hang_up()
        wait_until(lambda: exchanged(host, before), "one process each")
        load.go_on()
    assert load.failed == []
    assert all(alone(pid) for pid in new)


def test_a_new_one_that_ends_at_once_is_told_by_status(host: ManagedHost, echo: TcpServer) -> None:
    port, before = serving(host, echo)
    program = Path(host.path[0]) / "envoy"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with Load(port) as load:
        services(host, echo, port, "envoy")
        host.command("reload")
        wait_until(
            lambda: all("the one before it, goes on serving" in row["last_error"] for row in host.status()),
            "what status tells",
        )
        done = host.run("restart", "web-proxy")
        assert done.returncode == 5
        assert "the new process does not come up" in done.stderr
        load.talk()
        load.go_on()
        load.hang_up()
        assert host.pids() == before
        host.command("stop", "web-proxy")
        assert alone(before["web-proxy"])
    assert host.row("web-proxy")["state"] == "held"
    (host.definitions / "db.json").unlink()
    host.command("reload")
    assert alone(before["db-proxy"])


def test_an_agent_killed_in_the_midst_is_followed_by_one_that_goes_on(
    host: ManagedHost, echo: TcpServer
) -> None:
    hanging_envoy(host)
    port, before = serving(host, echo)
    with Load(port) as load:
        services(host, echo, port, "envoy")
        host.command("reload")
        wait_until(lambda: all(row["beside"] for row in host.status()), "the new processes")
        new = [row["beside"] for row in host.status()]
        host.kill_agent()
        assert {row["pid"] for row in host.status()} | {row["beside"] for row in host.status()} == {
            *new,
            *before.values(),
        }
        services(host, echo, port, "builtin")
        load.talk()
        host.start()
        wait_for_a_new_one(host)
        load.talk()
        load.hang_up()
        wait_until(lambda: exchanged(host, before), "one process each")
        load.go_on()
    assert load.failed == []
    assert all(alone(pid) for pid in (*new, *before.values()))


def test_an_agent_killed_while_the_old_one_leaves_is_followed_by_one_that_sees_it_off(
    host: ManagedHost, echo: TcpServer
) -> None:
    port, before = serving(host, echo)
    with Load(port) as load:
        host.command("restart", "db-proxy")
        new = host.row("db-proxy")["pid"]
        assert host.row("db-proxy")["beside"] == before["db-proxy"]
        host.kill_agent()
        load.talk()
        host.start()
        load.hang_up()
        wait_until(lambda: host.row("db-proxy")["beside"] is None, "one process")
        assert host.row("db-proxy")["pid"] == new
        load.go_on()
    assert load.failed == []
    assert alone(before["db-proxy"])
    assert host.pids()["web-proxy"] == before["web-proxy"]


DAEMON = """
import os, signal, socket, sys, time
with open(sys.argv[1], "a") as file:
    file.write(f"start {os.getpid()}\\n")
def end(*_):
    with open(sys.argv[1], "a") as file:
        file.write(f"end {os.getpid()}\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    listener.accept()[0].close()
"""


@pytest.mark.parametrize("same_port", [False, True])
def test_a_command_is_started_first_unless_the_port_is_the_old_ones(
    host: ManagedHost, tmp_path: Path, same_port: bool
) -> None:
    told = tmp_path / "told"
    first, second = free_port(), free_port()

    def define(port: int, word: str) -> None:
        command = [sys.executable, "-c", DAEMON, str(told), str(port), word]
        host.service("web", free_port(), {"proxy": {"command": command, "config": {"bind_port": port}}})

    define(first, "one")
    host.start()
    wait_until(lambda: ask(first, b"") == b"" and told.exists(), "the first daemon")
    old = host.pids()["web-proxy"]
    define(first if same_port else second, "two")
    host.command("reload")
    wait_until(lambda: told.read_text().count("\n") == 3, "the exchange")
    new = host.row("web-proxy")["pid"]
    ended, started = f"end {old}", f"start {new}"
    assert told.read_text().splitlines()[1:] == ([ended, started] if same_port else [started, ended])
    with contextlib.suppress(ProcessLookupError):
        os.kill(old, signal.SIGKILL)
        pytest.fail("the old daemon is still there")
