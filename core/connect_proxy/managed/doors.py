"""Where the managed proxies' own control sockets are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from connect_proxy.managed.file_names import socket_name
from connect_proxy.managed.state_file import DataDirectory


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Of one agent's proxies."""

    folder: Path | None
    """None: they have none."""

    def path(self, proxy_id: str) -> Path | None:
        """Of that proxy; None where they have none."""
        return self.folder / socket_name(proxy_id) if self.folder else None


def doors_of(directory: DataDirectory | None, control_folder: Path | None = None) -> Doors:
    """In the data directory, else beside the agent's own control socket, in a folder that is made."""
    if directory is not None:
        return Doors(folder=directory.door_path("").parent)
    if control_folder is None:
        return Doors(folder=None)
    folder = control_folder / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    return Doors(folder=folder)
