"""Where the agent keeps its state if no ``-data-dir`` is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_data_directory(environment: Mapping[str, str], *, uid: int) -> Path:
    """systemd's ``$STATE_DIRECTORY``, else /var/lib/connect-proxy for root, else XDG's state folder."""
    if given := environment.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if uid == 0:
        return Path("/var/lib/connect-proxy")
    state = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME", "/"), ".local/state")
    return Path(state) / "connect-proxy"


def runtime_directory(environment: Mapping[str, str], *, uid: int) -> Path:
    """Where the control socket is of an agent without a data directory: gone with the next boot."""
    if given := environment.get("XDG_RUNTIME_DIR"):
        return Path(given) / "connect-proxy"
    return Path("/run/connect-proxy") if uid == 0 else Path(f"/tmp/connect-proxy-{uid}")  # noqa: S108


def control_directory(environment: Mapping[str, str], *, uid: int) -> Path:
    """Where operators' commands look if no ``-data-dir`` is given: the data directory, unless only an
    agent without one left its control socket."""
    durable = default_data_directory(environment, uid=uid)
    passing = runtime_directory(environment, uid=uid)
    alone = (passing / "control.sock").exists() and not (durable / "control.sock").exists()
    return passing if alone else durable
