"""The agent's control socket, as operators' commands see it: ``<data_dir>/control.sock``, mode 0600."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final

from connect_proxy.errors import AgentNotRunningError, ConfigurationError, ControlError
from connect_proxy.supervisor.control_socket import ControlServer, answered, fits, request_line

__all__ = ["ControlServer", "ask", "socket_path"]

SOCKET_NAME: Final = "control.sock"
ANSWER_TIMEOUT_S: Final = 600.0
"""A rolling restart of many proxies takes its time."""


def socket_path(data_directory: Path) -> Path:
    """Where the agent of that data directory listens. Raises ConfigurationError for a path too long."""
    path = data_directory / SOCKET_NAME
    if not fits(path):
        message = f"'{path}' is too long for a socket's path; give a shorter -data-dir"
        raise ConfigurationError(message)
    return path


def ask(data_directory: Path, verb: str, **parts: Any) -> Any:
    """Ask the running agent. Raises AgentNotRunningError, or ControlError with the agent's own words."""
    path = socket_path(data_directory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            message = f"no agent runs on the data directory '{data_directory}'; start it, or give its own"
            raise AgentNotRunningError(message) from exc
        except PermissionError as exc:
            message = f"'{path}' may be used by its owner alone: run this as the agent's user"
            raise ControlError(message) from exc
        connection.sendall(request_line(verb, **parts))
        with connection.makefile("rb") as answers:
            return answered(answers.readline())
