"""``connect-proxy agent -server`` for a test: its data directory, its restarts, its managed proxies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.agents import client_environment
from support.consul_api import ConsulApi
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.ports import free_port
from support.processes import run


@dataclass(kw_only=True)
class ServerAgent(EmbeddedAgent):
    """It is found at the same port after a restart."""

    grace: str = "45s"
    http_port: int = field(default_factory=free_port)

    def start(self) -> None:
        self.mode = ("-server", "-data-dir", str(self.data), "-ca-grace", self.grace)
        super().start()

    def restart(self, number: int) -> None:
        """End it by a signal and start it again."""
        assert self.program is not None
        self.program.send(number)
        self.program.wait()
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def state_path(self) -> Path:
        return self.data / "server" / "state.json"

    def state(self) -> dict[str, Any]:
        """What is on disk."""
        found: dict[str, Any] = json.loads(self.state_path.read_text())
        return found

    def proxies(self) -> list[dict[str, Any]]:
        """The managed proxies, as operators see them."""
        words = ["status", "-format", "json", "-data-dir", str(self.data)]
        done = run([connect_proxy_program(), *words], env=client_environment())
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    @contextlib.contextmanager
    def managing(self) -> Iterator[None]:
        """Leave no managed proxy behind: they outlive the agent."""
        try:
            yield
        finally:
            if self.program is not None:
                self.program.kill()
            for row in self.proxies():
                if row["pid"]:
                    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                        os.killpg(row["pid"], signal.SIGKILL)

    def files_with(self, secret: bytes) -> list[Path]:
        """The files of the data directory that hold this text anywhere."""
        files = [path for path in self.data.rglob("*") if path.is_file()]
        assert self.state_path in files
        return [path for path in files if secret in path.read_bytes()]


def shown(api: ConsulApi) -> dict[str, Any]:
    """Everything that can be written, as the API shows it, but for what no restart leaves alone: the
    roots and their certificates, and how a probe worded its last failure."""
    paths = [
        "/v1/agent/services",
        "/v1/agent/checks",
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/catalog/node-services/node1",
        "/v1/health/state/any",
        "/v1/connect/intentions",
        "/v1/query",
        "/v1/connect/ca/configuration",
    ]
    found = {path: api.get(path).json for path in paths}
    found["node"] = api.get("/v1/agent/self").json["Config"]
    found["trust domain"] = api.get("/v1/connect/ca/roots").json["TrustDomain"]
    return found


def indexes(api: ConsulApi) -> dict[str, int]:
    """What a client would wait for next, by the path that it asks."""
    paths = [
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/catalog/service/web",
        "/v1/health/service/web",
        "/v1/health/connect/web",
        "/v1/connect/intentions",
        "/v1/query",
        "/v1/connect/ca/roots",
        "/v1/agent/connect/ca/leaf/web",
    ]
    return {path: api.get(path).index for path in paths}
