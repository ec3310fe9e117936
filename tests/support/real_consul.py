"""A real Consul server for a test, with ports, folders and secrets of its own."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.consul_api import ConsulApi
from support.ports import PortBlock, free_block, free_port
from support.processes import Program
from support.real_parts import consul_binary
from support.tls_files import ServerTls

MASTER_TOKEN = "11111111-2222-4333-8444-555555555555"


@dataclass(kw_only=True)
class RealConsul:
    """``consul agent`` as a context manager: ready once it leads and its CA signs.

    ``client``: the address it serves HTTP on. ``unix_socket``: served there too. ``acl``: policy
    default deny, management token :data:`MASTER_TOKEN`. ``tls``: HTTPS instead of HTTP, client
    certificates required. ``grpc``: serve xDS. ``durable``: a server that keeps its state in a folder,
    so that :meth:`restart` brings it back as it was; else a dev server, which forgets.
    """

    folder: Path
    client: str = "127.0.0.1"
    unix_socket: Path | None = None
    acl: bool = False
    tls: ServerTls | None = None
    grpc: bool = False
    durable: bool = False
    node: str = "node1"
    datacenter: str = "dc1"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further agent configuration."""
    kind: str = "consul"
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    dns_port: int = field(default_factory=free_port)
    sidecar_ports: PortBlock = field(default_factory=free_block)
    program: Program | None = field(default=None, init=False)
    _inner_ports: tuple[int, int, int] = field(
        default_factory=lambda: (free_port(), free_port(), free_port())
    )

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
        host = f"[{self.client}]" if ":" in self.client else self.client
        return f"{host}:{self.http_port}"

    @property
    def url(self) -> str:
        """What CONSUL_HTTP_ADDR may be."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def dns_address(self) -> str:
        return f"{self.client}:{self.dns_port}"

    @property
    def token(self) -> str:
        """The management token, empty without ACLs."""
        return MASTER_TOKEN if self.acl else ""

    @property
    def api(self) -> ConsulApi:
        """Calls with the management token if there are ACLs."""
        context: ssl.SSLContext | None = self.tls.client_context() if self.tls else None
        return ConsulApi(address=self.address, token=self.token, tls=context)

    def start(self) -> None:
        """Start it and wait until it can serve a sidecar."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "agent.json"
        configuration.write_text(json.dumps(self._configuration()))
        mode = ["-dev"] if not self.durable else ["-server", "-bootstrap-expect=1"]
        # A dev server takes no data_dir, the other one needs it.
        data = ["-data-dir", str(self.folder / "data")] if self.durable else []
        argv: list[str | Path] = [consul_binary(), "agent", *mode, *data, "-config-file", configuration]
        self.program = Program(argv, folder=self.folder, name="consul")
        try:
            self.program.wait_for(self._is_ready, "a leader and a CA", deadline_s=90)
        except BaseException as exc:
            self.program.__exit__(type(exc), exc, None)
            raise

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, abruptly by default."""
        assert self.program is not None
        self.program.end(number)

    def restart(self) -> None:
        """Start it again after :meth:`stop`: the same ports."""
        self.start()

    def _is_ready(self) -> bool:
        try:
            leader = self.api.get("/v1/status/leader")
            roots = self.api.get("/v1/agent/connect/ca/roots")
            if leader.status != 200 or not leader.json or roots.status != 200 or not roots.json["Roots"]:
                return False
            # The CA may still be starting when the leader is known; a node appears in the catalog last.
            return bool(self.api.get("/v1/catalog/nodes").json)
        except (OSError, ValueError):
            return False

    def _configuration(self) -> dict[str, Any]:
        lan, wan, server = self._inner_ports
        settings: dict[str, Any] = {
            "bind_addr": "127.0.0.1",
            "client_addr": self.client,
            "node_name": self.node,
            "datacenter": self.datacenter,
            "disable_update_check": True,
            "connect": {"enabled": True},
            "ports": {
                "http": -1 if self.tls else self.http_port,
                "https": self.http_port if self.tls else -1,
                "grpc": self.grpc_port if self.grpc else -1,
                "dns": self.dns_port,
                "serf_lan": lan,
                "serf_wan": wan,
                "server": server,
                "sidecar_min_port": self.sidecar_ports.first,
                "sidecar_max_port": self.sidecar_ports.last,
            },
        }
        if self.durable:
            # As the dev mode does: a leader within a second.
            settings["raft_protocol"] = 3
            settings["performance"] = {"raft_multiplier": 1}
        if self.unix_socket is not None:
            settings["addresses"] = {"http": f"{self.client} unix://{self.unix_socket}"}
        if self.acl:
            settings["acl"] = {
                "enabled": True,
                "default_policy": "deny",
                "tokens": {"master": MASTER_TOKEN, "agent": MASTER_TOKEN},
            }
        if self.tls is not None:
            settings |= {
                "ca_file": str(self.tls.ca_file),
                "cert_file": str(self.tls.cert_file),
                "key_file": str(self.tls.key_file),
                "verify_incoming_https": True,
            }
        return settings | dict(self.extra)
