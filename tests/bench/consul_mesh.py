"""One real Consul with the services that are measured, for all peers that take their orders from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.applications import Application
from bench.peer import CLIENT
from support.agents import AgentUnderTest
from support.ports import free_port
from support.real_consul import RealConsul


@dataclass(frozen=True, kw_only=True)
class ConsulMesh:
    """Everybody's sidecar is registered; none runs."""

    consul: AgentUnderTest
    upstream_ports: Mapping[Application, int]
    """Where the client's sidecar listens for each application."""

    @property
    def services(self) -> tuple[str, ...]:
        """Those that need a sidecar, the servers first."""
        return (*(application.value for application in self.upstream_ports), CLIENT)


@contextlib.contextmanager
def running(folder: Path, applications: Mapping[Application, int]) -> Iterator[ConsulMesh]:
    """Started, filled, and ended with the block."""
    # A dev agent would log each request: the Go proxy sends two for every connection.
    with RealConsul(folder=folder, extra={"log_level": "INFO"}) as consul:
        yield filled(consul, applications)


def filled(agent: AgentUnderTest, applications: Mapping[Application, int]) -> ConsulMesh:
    """The services and their sidecars, registered at a running agent."""
    mesh = ConsulMesh(
        consul=agent, upstream_ports={application: free_port() for application in applications}
    )
    for definition in definitions(applications, mesh.upstream_ports):
        agent.api.register(definition)
    return mesh


def definitions(
    applications: Mapping[Application, int], upstream_ports: Mapping[Application, int]
) -> Iterator[dict[str, Any]]:
    """What is registered. Without checks: a peer is measured, not Consul's health checking."""
    for application, port in applications.items():
        yield {"Name": application.value, "Port": port}
        yield _sidecar(application.value, {"LocalServiceAddress": "127.0.0.1", "LocalServicePort": port})
    yield {"Name": CLIENT}
    upstreams = [
        {"DestinationName": application.value, "LocalBindPort": port}
        for application, port in upstream_ports.items()
    ]
    yield _sidecar(CLIENT, {"Upstreams": upstreams})


def _sidecar(service: str, proxy: dict[str, Any]) -> dict[str, Any]:
    identity = {"DestinationServiceName": service, "DestinationServiceID": service}
    return {
        "Kind": "connect-proxy",
        "Name": f"{service}-sidecar-proxy",
        "Address": "127.0.0.1",
        "Port": free_port(),
        "Proxy": {**identity, "Config": {"bind_address": "127.0.0.1"}, **proxy},
    }
