"""The state of a data directory, read once at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from connect_proxy.dev_agent.storage.kept import KeptAgent
from connect_proxy.dev_agent.storage.state_file import StateFile
from connect_proxy.durable_file import unusable


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentStorage:
    """Where an agent keeps its state, and what the one before it left there."""

    file: StateFile
    kept: KeptAgent | None = None
    """None: this is the first one."""


def opened(data_directory: Path) -> AgentStorage:
    """Raises ConfigurationError for a file that is none of ours, and DataDirectoryError."""
    folder = data_directory / "server"
    file = StateFile(folder / "state.json")
    kept = file.read()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise unusable(folder, exc) from exc
    return AgentStorage(file=file, kept=kept)
