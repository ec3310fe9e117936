"""What one agent of managed proxies is told when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connect_proxy.consul.access import AgentAccess
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.supervisor.notify import ServiceManager


@dataclass(frozen=True, kw_only=True)
class ManagedAgentOptions:
    """What the command line asked for."""

    paths: tuple[Path, ...]
    """Configuration folders and files, in order."""
    directory: DataDirectory | None
    """None: proxies end with the agent."""
    access: AgentAccess
    """The Consul behind."""
    api_address: tuple[str, int] | None = ("127.0.0.1", 8510)
    """None: the API stands in front of the Consul behind (:meth:`ManagedAgent.over`)."""
    control_folder: Path | None = None
    """Where the control socket is without a data directory; None: there is none then."""
    log_level: str = "INFO"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    manager: ServiceManager = field(default_factory=ServiceManager)
    """Told when the agent is ready, reloads, ends."""
