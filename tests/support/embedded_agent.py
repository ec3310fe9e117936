"""The embedded agent for a test: ``connect-proxy agent -dev`` or ``-server``, as a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.agents import client_environment
from support.consul_api import ConsulApi
from support.ports import PortBlock, free_block
from support.processes import Program


def connect_proxy_program() -> Path:
    """The installed ``connect-proxy``, beside the interpreter that runs the tests."""
    return Path(sys.executable).parent / "connect-proxy"


@dataclass(kw_only=True)
class EmbeddedAgent:
    """The same interface as :class:`support.real_consul.RealConsul`; all its ports are picked by itself."""

    folder: Path
    mode: Sequence[str] = ("-dev",)
    http_port: int = 0
    client: str = "127.0.0.1"
    node: str = "node1"
    datacenter: str = "dc1"
    extra: Sequence[str] = ()
    """Further words of the command line."""
    kind: str = "embedded"
    sidecar_ports: PortBlock = field(default_factory=free_block)
    program: Program | None = field(default=None, init=False)
    announced: dict[str, Any] = field(default_factory=dict, init=False)
    """The JSON line that it printed when it was ready."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.program is not None:
            self.program.__exit__(kind, error, trace)
        self.sidecar_ports.release()

    @property
    def address(self) -> str:
        return str(self.announced["http_addr"])

    @property
    def url(self) -> str:
        """What CONSUL_HTTP_ADDR may be."""
        return f"http://{self.address}"

    @property
    def grpc_address(self) -> str:
        return str(self.announced["grpc_addr"])

    @property
    def dns_address(self) -> str:
        return str(self.announced["dns_addr"])

    @property
    def token(self) -> str:
        """No ACLs."""
        return ""

    @property
    def api(self) -> ConsulApi:
        return ConsulApi(address=self.address)

    def start(self) -> None:
        """Start it and wait for the line that says where it listens."""
        argv: list[str | Path] = [connect_proxy_program(), "agent", *self.mode, "-format", "json"]
        argv += ["-client", self.client]
        argv += ["-http-port", str(self.http_port), "-grpc-port", "0", "-dns-port", "0"]
        argv += ["-node", self.node, "-datacenter", self.datacenter]
        argv += ["-sidecar-min-port", str(self.sidecar_ports.first)]
        argv += ["-sidecar-max-port", str(self.sidecar_ports.last), *self.extra]
        self.program = Program(argv, folder=self.folder, env=client_environment(), name="embedded-agent")
        try:
            self.announced = self.program.wait_for(self._announcement, "the line with its addresses")
        except BaseException as exc:
            self.program.__exit__(type(exc), exc, None)
            raise

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, abruptly by default."""
        assert self.program is not None
        self.program.end(number)

    def _announcement(self) -> dict[str, Any]:
        assert self.program is not None
        line, newline, _ = self.program.stdout.partition("\n")
        found: dict[str, Any] = json.loads(line) if newline else {}
        return found
