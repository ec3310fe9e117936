"""What a real Consul and the embedded agent have in common for a test."""

from __future__ import annotations

import os
from typing import Protocol

from support.consul_api import ConsulApi
from support.ports import PortBlock


class AgentUnderTest(Protocol):
    """A running agent that serves Consul's HTTP API."""

    @property
    def kind(self) -> str:
        """``consul`` or ``embedded``."""

    @property
    def address(self) -> str:
        """host:port of the HTTP API."""

    @property
    def api(self) -> ConsulApi: ...

    @property
    def grpc_address(self) -> str:
        """host:port where it serves xDS."""

    @property
    def dns_address(self) -> str:
        """host:port, UDP and TCP."""

    @property
    def sidecar_ports(self) -> PortBlock:
        """Where it takes sidecar ports from; nobody else uses them."""


def client_environment(**variables: str) -> dict[str, str]:
    """An environment for a program under test: this one without its proxy, Consul and CONNECT variables."""
    unwanted = (
        "CONSUL_",
        "CONNECT_",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "NOTIFY_SOCKET",
    )
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
    return kept | variables
