"""What one agent of managed proxies is told when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connect_proxy.consul.access import AgentAccess
from connect_proxy.managed.definitions.configuration import AgentConfiguration
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
    level_of: Callable[[AgentConfiguration], str] | None = None
    """The level that command line and files ask for together, when the files are read again. Raises
    ConfigurationError. None: the level stays."""
    set_level: Callable[[str], None] = lambda _level: None
    """Makes the agent itself log at that level."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    manager: ServiceManager = field(default_factory=ServiceManager)
    """Told when the agent is ready, reloads, ends."""
