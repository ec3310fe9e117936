"""Proxies that can be measured: how to start one on both sides, and what is known of it then."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.applications import Application
from support.processes import Program, wait_until

CLIENT = "client"
"""The service whose sidecar the load tools talk to."""


@dataclass(frozen=True, kw_only=True)
class RunningPeer:
    """A sidecar for each application and one for their client."""

    ports: Mapping[Application, int]
    """Where the load tools reach each application, through both sidecars."""
    programs: Mapping[str, Program]
    """The sidecars, by service."""

    def pids(self, *services: str) -> tuple[int, ...]:
        """Of the sidecars of these services; of all without any."""
        return tuple(self.programs[service].pid for service in services or self.programs)


class Peer(Protocol):
    """One contender."""

    @property
    def name(self) -> str:
        """Short: the column's head."""

    @property
    def version(self) -> str:
        """What it says of itself, with its name."""

    def running(self, folder: Path) -> contextlib.AbstractContextManager[RunningPeer]:
        """Its sidecars, from the moment on at which they carry traffic."""


def wait_until_carrying(ports: Mapping[Application, int]) -> None:
    """Until a connection reaches each application. Raises ProgramFailedError."""
    for application, port in ports.items():
        wait_until(functools.partial(_carries, port), f"a way through to {application.value}")


def _carries(port: int) -> bool:
    """Whether a connection stays open: a sidecar that has no way to the application closes it.

    Nothing is sent. iperf3 would take it for a test and be busy with it.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.settimeout(0.3)
            return bool(connection.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False
