"""Where the agent keeps its state if no ``-data-dir`` is given, and what to say if it cannot be used."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from connect_proxy.errors import DataDirectoryError


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


def unusable(path: Path, exc: OSError) -> DataDirectoryError:
    """The error to raise for a file or folder of the data directory. Of a lack of permission it says whose
    folder it is: the operator's commands are for the agent's user."""
    if exc.errno in {errno.EEXIST, errno.ENOTDIR}:
        message = f"'{path}' is no folder, which the data directory has to be; give another -data-dir"
        return DataDirectoryError(message)
    message = f"'{path}' in the data directory: {exc.strerror or exc}"
    if exc.errno in {errno.EACCES, errno.EPERM} and (owner := _owner(path)):
        message += f"; run this as {owner}, or give another -data-dir"
    return DataDirectoryError(message)


def _owner(path: Path) -> str:
    """Who owns the path, or the nearest folder above it that can be looked at."""
    for one in (path, *path.parents):
        try:
            uid = one.stat().st_uid
        except OSError:
            continue
        try:
            return f"the user '{pwd.getpwuid(uid).pw_name}'"
        except KeyError:
            return f"the user with the id {uid}"
    return ""
