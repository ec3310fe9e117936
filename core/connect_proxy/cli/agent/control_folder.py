"""The folder of the control socket where there is no data directory."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from connect_proxy.errors import ConfigurationError


def control_folder(environment: Mapping[str, str], *, uid: int) -> Path | None:
    """Made if it is not there, mode 0700; None where another agent's socket is there already.

    Raises ConfigurationError for a folder that others could have prepared: who owns it can replace
    the socket in it.
    """
    from connect_proxy.managed.control import socket_path
    from connect_proxy.managed.data_directory import runtime_directory

    folder = runtime_directory(environment, uid=uid)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        message = f"the control socket's folder '{folder}': {exc.strerror}; set XDG_RUNTIME_DIR to another"
        raise ConfigurationError(message) from exc
    status = folder.lstat()
    if status.st_uid != uid or status.st_mode & 0o077:
        message = f"'{folder}' is open to other users: remove it, or set XDG_RUNTIME_DIR"
        raise ConfigurationError(message)
    return None if _answers(socket_path(folder)) else folder


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
