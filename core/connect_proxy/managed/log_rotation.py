"""Rotating all logs of a folder that are due."""

from __future__ import annotations

import logging
from pathlib import Path

from connect_proxy.managed.log_files import RotationPolicy, is_due, rotate_in_place

log = logging.getLogger("connect_proxy.managed")


def rotate_all(folder: Path, policy: RotationPolicy | None = None) -> int:
    """Rotate what is due; how many were. One that cannot be rotated is said and stops no other."""
    chosen = policy or RotationPolicy()
    rotated = 0
    for path in sorted(folder.glob("*.log")):
        if not is_due(path, chosen):
            continue
        try:
            if not rotate_in_place(path, chosen):
                log.info("'%s' was copied and truncated: a line written meanwhile may be lost", path)
            rotated += 1
        except OSError as exc:
            log.error("'%s' was not rotated: %s", path, exc.strerror or exc)
    return rotated
