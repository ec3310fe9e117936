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
