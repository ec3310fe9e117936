"""``connect-proxy agent`` with managed proxies, as a program in a test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from connect_proxy.errors import AgentNotRunningError
from connect_proxy.managed.control import ask
from support.agents import AgentUnderTest, client_environment
from support.embedded_agent import connect_proxy_program
from support.ordinary_user import give
from support.ports import PortBlock, free_block, free_port
from support.processes import Program, ProgramFailedError, run, wait_until

ROOT_ALLOWED = "connect { proxy { allow_managed_root = true } }"


@dataclass(kw_only=True)
class ManagedHost:
    """One host: definitions, a data directory, an agent that comes and goes. At the end nothing runs."""

    consul: AgentUnderTest
    folder: Path
    token: str = ""
    """For the Consul behind; in a file that only its owner reads."""
    path: Sequence[Path] = ()
    """Folders before the others in PATH."""
    user: str = ""
    """Who runs all of it, if not we ourselves; *folder* has to be that user's."""
    program: Path = field(default_factory=connect_proxy_program)
    ports: PortBlock = field(default_factory=free_block)
    api_port: int = field(default_factory=free_port)
    agent: Program | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.definitions.mkdir(parents=True)
        self.definitions.chmod(0o755)
        allowed = "" if self.user else ROOT_ALLOWED
        self.write("agent.hcl", f"{allowed}\n{self.port_ranges()}")
        if self.token:
            self.token_file.touch(mode=0o600)
            self.token_file.write_text(self.token)
        if self.user:
            for path in (self.definitions, *([self.token_file] if self.token else [])):
                give(path, self.user)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.agent is not None:
            error.add_note(self.agent.picture())
            for log in sorted(self.data.glob("proxy/logs/*.log")):
                error.add_note(f"--- {log.name}\n{log.read_text()[-2000:]}")
        self.kill_agent()
        for row in self.status() if (self.data / "proxy/state.json").exists() else ():
            for pid in filter(None, (row["pid"], row["beside"])):
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.killpg(pid, signal.SIGKILL)
        self.ports.release()

    @property
    def definitions(self) -> Path:
        return self.folder / "definitions"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def environment(self) -> dict[str, str]:
        path = ":".join([*map(str, self.path), os.environ["PATH"]])
        own = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)} if self.user else {}
        return client_environment(PATH=path, **own)

    def port_ranges(self) -> str:
        return port_ranges(self.ports)

    def write(self, name: str, text: str) -> None:
        """A file of definitions."""
        path = self.definitions / name
        path.write_text(text)
        path.chmod(0o644)
        if self.user:
            give(path, self.user)

    def service(self, name: str, port: int, connect: Mapping[str, Any], **more: Any) -> None:
        """A file with one service, as JSON, its own check passing."""
        definition = {"name": name, "port": port, "connect": connect, **more}
        self.write(f"{name}.json", json.dumps({"service": definition}))

    def remove(self, name: str) -> None:
        (self.definitions / name).unlink()

    def argv(self, *words: str) -> list[str | Path]:
        token: list[str | Path] = ["-token-file", self.token_file] if self.token else []
        where: list[str | Path] = [
            "-config-dir",
            self.definitions,
            "-data-dir",
            self.data,
            "-http-addr",
            self.consul.address,
        ]
        api = ["-api-addr", f"127.0.0.1:{self.api_port}", "-format", "json"]
        return [self.program, "agent", *where, *api, *token, *words]

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Program:
        """Start the agent; returns once it is up."""
        environment = {**self.environment, **(env or {})}
        self.agent = Program(
            self.argv(*words), folder=self.folder, env=environment, name="agent", user=self.user
        )
        try:
            self.agent.wait_for(lambda: self.agent and self.agent.stdout.endswith("\n"), "the agent's line")
        except ProgramFailedError as exc:
            exc.add_note(self.agent.picture())
            raise
        return self.agent

    def kill_agent(self) -> None:
        """SIGKILL to the agent alone: not to its session, nor to its proxies."""
        if self.agent is not None and self.agent.running:
            self.agent.send(signal.SIGKILL)
            self.agent.wait()

    def command(self, *words: str) -> str:
        """An operator's command that succeeds; its standard output."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """An operator's command, however it ends."""
        argv: list[str | Path] = [self.program, *words, "-data-dir", self.data]
        return run(argv, env=self.environment, user=self.user)

    def status(self) -> list[dict[str, Any]]:
        """What ``status -format json`` prints. While an agent runs it is asked without that command, which
        costs a third of a second each time: conditions are looked at often."""
        try:
            rows: list[dict[str, Any]] = ask(self.data, "status")["proxies"]
        except AgentNotRunningError:
            rows = json.loads(self.command("status", "-format", "json"))
        return rows

    def row(self, proxy_id: str) -> dict[str, Any]:
        return next(row for row in self.status() if row["id"] == proxy_id)

    def pids(self) -> dict[str, int]:
        return {row["id"]: row["pid"] for row in self.status()}

    def registered(self) -> set[str]:
        """Ids of what Consul has."""
        return set(self.consul.api.get("/v1/agent/services").json)

    def api(self, path: str, *, token: str = "", method: str = "GET") -> Any:
        """The agent's own HTTP API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}", headers={"X-Consul-Token": token}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None


def port_ranges(ports: PortBlock) -> str:
    """The definition that has an agent take its proxies' ports from *ports*."""
    middle = ports.first + 20
    return (
        f"ports {{ proxy_min_port = {ports.first}, proxy_max_port = {middle - 1},"
        f" sidecar_min_port = {middle}, sidecar_max_port = {ports.last} }}"
    )


def echoes(port: int, text: bytes = b"hello through the mesh") -> bool:
    """Whether what is sent to a local port comes back, on a connection of its own."""
    try:
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.settimeout(60)
            connection.sendall(text)
            received = b""
            while len(received) < len(text) and (data := connection.recv(65536)):
                received += data
            return received == text
    except OSError:
        return False


def wait_for_traffic(port: int) -> None:
    wait_until(lambda: echoes(port), f"an echo by way of the local port {port}", deadline_s=120)
