"""What a real Consul and the embedded agent have in common for a test."""

from __future__ import annotations

import functools
import os
import tempfile
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


@functools.cache
def _runtime_directory() -> tempfile.TemporaryDirectory[str]:
    """Where programs under test put their sockets: short, and gone with this process, also when the
    programs were killed. pytest's own folders are too long for sockets."""
    return tempfile.TemporaryDirectory(prefix="cp-")


def client_environment(**variables: str) -> dict[str, str]:
    """For a program under test: this environment without its proxy, Consul and CONNECT variables."""
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
    return kept | {"XDG_RUNTIME_DIR": _runtime_directory().name} | variables
