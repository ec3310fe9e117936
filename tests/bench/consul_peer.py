"""Peers that learn everything from Consul: Consul's own proxy and the built-in one of this project."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.consul_mesh import ConsulMesh
from bench.peer import RunningPeer, wait_until_carrying
from support.processes import Program
from support.real_parts import CONSUL_VERSION, consul_binary


@dataclass(frozen=True, kw_only=True)
class ConsulPeer:
    """``command`` is one sidecar's, with ``{address}`` of the agent and ``{service}`` left open."""

    name: str
    version: str
    command: str
    mesh: ConsulMesh

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[RunningPeer]:
        """One sidecar for each service."""
        with contextlib.ExitStack() as stack:
            programs = {
                service: stack.enter_context(
                    Program(self._argv(service), folder=folder, name=f"{self.name}-{service}")
                )
                for service in self.mesh.services
            }
            wait_until_carrying(self.mesh.upstream_ports)
            yield RunningPeer(ports=self.mesh.upstream_ports, programs=programs)

    def _argv(self, service: str) -> list[str]:
        words = shlex.split(self.command)
        return [word.format(address=self.mesh.consul.address, service=service) for word in words]


def go_peer(mesh: ConsulMesh) -> ConsulPeer:
    """Consul's own, written in Go."""
    return ConsulPeer(
        name="go",
        version=f"Consul {CONSUL_VERSION} `connect proxy`",
        command=f"{shlex.quote(str(consul_binary()))} connect proxy -http-addr={{address}}"
        " -sidecar-for {service}",
        mesh=mesh,
    )


def builtin_peer(mesh: ConsulMesh) -> ConsulPeer:
    """Ours, as an operator starts it."""
    return ConsulPeer(
        name="builtin",
        version=f"connect-proxy {metadata.version('connect-proxy')} `--backend builtin`",
        command=f"{shlex.quote(sys.executable)} -m connect_proxy --backend builtin -http-addr {{address}}"
        " -sidecar-for {service}",
        mesh=mesh,
    )
