"""Rotating all logs of a data directory that are due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from connect_proxy.errors import ControlError
from connect_proxy.managed.file_names import stem
from connect_proxy.managed.logs.files import (
    STREAMS,
    LogFiles,
    RotationPolicy,
    is_due,
    rename,
    rotate_in_place,
    take_back,
)
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.supervisor.control_socket import ask_at

log = logging.getLogger("connect_proxy.managed")

REOPENING_TIMEOUT_S: Final = 10.0


def rotate_all(folder: Path, policy: RotationPolicy | None = None) -> int:
    """Rotate what is due in *folder*, in place; how many were. One that cannot be rotated is said and
    stops no other."""
    chosen = policy or RotationPolicy()
    return sum(_in_place(path, chosen) for path in sorted(folder.glob("*.log")) if is_due(path, chosen))


async def rotate_due(
    directory: DataDirectory, policy: RotationPolicy | None = None, *, doubled: Collection[str] = ()
) -> int:
    """The same for an agent's directory, by new files where the proxies can be told of them. *doubled*: ids
    of proxies with two processes, of which only one can be told."""
    chosen = policy or RotationPolicy()
    due = [path for path in sorted(directory.logs_path.glob("*.log")) if is_due(path, chosen)]
    rotated = 0
    in_place = {stem(proxy_id) for proxy_id in doubled}
    for proxy_id, group in groupby(due, key=_proxy_of):
        paths = list(group)
        if proxy_id not in in_place and await _reopened(directory, proxy_id, paths, chosen):
            rotated += len(paths)
            continue
        for path in paths:
            rotated += await asyncio.to_thread(_in_place, path, chosen)
    return rotated


async def _reopened(
    directory: DataDirectory, proxy_id: str, paths: Iterable[Path], policy: RotationPolicy
) -> bool:
    """Whether its logs have other names now, and the proxy writes to new ones."""
    door = directory.door_path(proxy_id)
    if not door.exists():
        return False
    files = LogFiles(folder=directory.logs_path, proxy_id=proxy_id)
    renamed: list[Path] = []
    targets = {stream: str(files.path(stream)) for stream in STREAMS}
    try:
        await ask_at(door, "reopen-logs", timeout_s=REOPENING_TIMEOUT_S, only_asked=True)
        for path in paths:
            rename(path, policy)
            renamed.append(path)
        await ask_at(door, "reopen-logs", timeout_s=REOPENING_TIMEOUT_S, **targets)
    except (ControlError, OSError) as exc:
        log.debug("%s: its logs are rotated in place: %s", proxy_id, exc)
        for path in renamed:
            take_back(path)
        return False
    return True


def _in_place(path: Path, policy: RotationPolicy) -> bool:
    if not is_due(path, policy):  # its writer made a new one, though it did not say so in time
        return False
    try:
        if not rotate_in_place(path, policy):
            log.info("'%s' was copied and truncated: a line written meanwhile may be lost", path)
    except OSError as exc:
        log.error("'%s' was not rotated: %s", path, exc.strerror or exc)
        return False
    return True


def _proxy_of(path: Path) -> str:
    """The id as file names have it."""
    return path.name.rpartition("-")[0]
