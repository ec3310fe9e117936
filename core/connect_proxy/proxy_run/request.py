"""What the command line asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connect_proxy.backends import Backend
from connect_proxy.consul.access import AgentAccess
from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.settings.setting import Sourced


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the command line asked for, with everything parsed and nothing looked up yet."""

    backend: Backend
    access: AgentAccess
    proxy_id: str = ""
    sidecar_for: str = ""
    wait_s: float = 0.0
    """How long a registration that is not there yet is waited for."""
    options: Mapping[str, Sourced] = EMPTY
    """The backend's own options."""
    passthrough: tuple[str, ...] = ()
    log_level: str = "INFO"
    log_json: bool = False
    bootstrap: bool = False
    """Print the rendered config and end."""
    environment: Mapping[str, str] = field(default=EMPTY, repr=False)
