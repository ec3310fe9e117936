"""Managed proxies in number: what the agent's own death costs, and what hundreds of proxies cost the agent.

``python tests/soak/managed.py [--proxies 50] [--daemons 200]`` on a real Consul. First part: so many
services, a tenth of them called all the time through their sidecars, the agent killed (-9) and started
again meanwhile; no call may fail, no proxy may be restarted, all have to be found again. Second part: so
many daemons under one agent; prints the time of their start, the agent's processor time while nothing
changes, and the time from a daemon's death to its successor.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.agents import client_environment
from support.applications import ask, echo_server
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul

PROGRAM = Path(sys.executable).with_name("connect-proxy")
DEADLINE_S = 180.0


class Caller(threading.Thread):
    """Calls through one upstream until told to stop; counts what failed."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = threading.Event()
        self.calls = 0
        self.failed = 0

    def run(self) -> None:
        while not self._over.is_set():
            if ask(self._port, b"hello") != b"hello":
                self.failed += 1
            self.calls += 1

    def end(self) -> None:
        self._over.set()
        self.join()


def agent(consul: RealConsul, folder: Path, name: str) -> Program:
    """Start the agent on the folder's definitions and wait until it is up."""
    argv: list[str | Path] = [
        PROGRAM,
        "agent",
        "-config-dir",
        folder / "conf",
        "-data-dir",
        folder / "data",
    ]
    more: list[str | Path] = ["-api-addr", "127.0.0.1:0", "-format", "json"]
    env = client_environment(CONSUL_HTTP_ADDR=consul.address)
    program = Program([*argv, *more], folder=folder / "logs", env=env, name=name)
    program.wait_for(lambda: bool(program.stdout.strip()), "the agent", deadline_s=DEADLINE_S)
    return program


def status(folder: Path) -> list[dict[str, Any]]:
    """``status -format json``."""
    argv = [str(PROGRAM), "status", "-format", "json", "-data-dir", str(folder / "data")]
    return list(json.loads(subprocess.run(argv, capture_output=True, check=True).stdout))


def define(folder: Path, services: list[dict[str, Any]]) -> None:
    """Write the definitions."""
    (folder / "conf").mkdir(mode=0o755)
    ports = {"proxy_min_port": 30000, "proxy_max_port": 30999}
    root = {"proxy": {"allow_managed_root": True}}
    document = {"connect": root, "ports": ports, "services": services}
    path = folder / "conf" / "services.json"
    path.write_text(json.dumps(document))
    path.chmod(0o644)


def clean_up(folder: Path) -> None:
    """End what the agent left running, as it is to do."""
    for row in status(folder):
        if row["pid"]:
            os.kill(row["pid"], signal.SIGTERM)


def survive(consul: RealConsul, folder: Path, count: int) -> bool:
    """The first part; whether nothing failed."""
    called = max(1, count // 10)
    with echo_server() as application:
        ports = [free_port() for _ in range(called)]
        services: list[dict[str, Any]] = [
            {"name": f"s{number}", "port": application.port, "connect": {"proxy": {}}}
            for number in range(count - called)
        ]
        for number, port in enumerate(ports):
            upstream = {"destination_name": f"s{number % (count - called)}", "local_bind_port": port}
            stanza = {"proxy": {"config": {"upstreams": [upstream]}}}
            services.append({"name": f"caller{number}", "port": application.port, "connect": stanza})
        define(folder, services)
        first = agent(consul, folder, "agent-1")
        wait_until(lambda: all(ask(port, b"x") == b"x" for port in ports), "traffic", deadline_s=DEADLINE_S)
        before = {row["id"]: row["pid"] for row in status(folder)}
        callers = [Caller(port) for port in ports]
        for caller in callers:
            caller.start()
        wait_until(lambda: all(caller.calls > 20 for caller in callers), "calls")
        first.end(signal.SIGKILL)
        seen = [caller.calls for caller in callers]
        wait_until(
            lambda: all(caller.calls > calls + 20 for caller, calls in zip(callers, seen, strict=True)),
            "calls while no agent runs",
        )
        second = agent(consul, folder, "agent-2")
        wait_until(lambda: all(row["state"] == "running" for row in status(folder)), "adoption")
        for caller in callers:
            caller.end()
        after = {row["id"]: row["pid"] for row in status(folder)}
        calls, failed = sum(one.calls for one in callers), sum(one.failed for one in callers)
        print(f"{count} proxies, agent killed and started: {calls} calls, {failed} failed;", end=" ")
        print(f"{sum(before[name] == after.get(name) for name in before)} of {len(before)} found again")
        second.end()
        clean_up(folder)
        return failed == 0 and before == after


def cost(consul: RealConsul, folder: Path, count: int) -> bool:
    """The second part; whether all ran."""
    sleeping = {"proxy": {"command": ["/bin/sleep", "86400"]}}
    define(folder, [{"name": f"d{number}", "port": 1, "connect": sleeping} for number in range(count)])
    began = time.monotonic()
    program = agent(consul, folder, "agent")
    wait_until(
        lambda: sum(row["state"] == "running" for row in status(folder)) == count,
        "all daemons",
        deadline_s=DEADLINE_S,
    )
    print(f"{count} daemons: all run {time.monotonic() - began:.1f} s after the agent's start")
    used = processor_s(program.pid)
    idle_s = 20.0
    time.sleep(idle_s)  # a measurement, not a synchronisation
    share = (processor_s(program.pid) - used) / idle_s
    print(f"{count} daemons: the agent uses {share:.2%} of a core while nothing changes")
    victim = status(folder)[0]
    os.kill(victim["pid"], signal.SIGKILL)
    died = time.monotonic()
    state = folder / "data" / "proxy" / "state.json"
    wait_until(lambda: pid_of(state, victim["id"]) not in {None, victim["pid"]}, "the successor")
    print(f"{count} daemons: a killed one has a successor after {(time.monotonic() - died) * 1000:.0f} ms")
    program.end()
    clean_up(folder)
    return True


def pid_of(state: Path, proxy_id: str) -> int | None:
    """What the state file says."""
    process = json.loads(state.read_text())["proxies"][proxy_id]["process"]
    return int(process["pid"]) if process else None


def processor_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Both parts; 0 if nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxies", type=int, default=50)
    parser.add_argument("--daemons", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as base, RealConsul(folder=Path(base) / "consul") as consul:
        good = True
        for part, count in ((survive, given.proxies), (cost, given.daemons)):
            if count:
                folder = Path(base) / part.__name__
                folder.mkdir()
                good = part(consul, folder, count) and good
                consul.api.clear_services()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
