"""One JSON line for each connection that ended: who, where to, how much, how long, why it ended."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from connect_proxy_builtin.messages import Closed

log = logging.getLogger("connect_proxy.builtin")

STDERR = "stderr"


def line(closed: Closed, *, ended_at: datetime) -> str:
    """The line, with its newline. Pure."""
    fields = {
        "@timestamp": ended_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **dataclasses.asdict(closed),
    }
    return json.dumps(fields, separators=(",", ":")) + "\n"


class AccessLog:
    """Writes to a file (0640, appended) or to stderr; nowhere while the path is empty."""

    def __init__(self) -> None:
        self._path = ""
        self._file: TextIO | None = None
        self._failed = False

    def use(self, path: str) -> None:
        """From now on there."""
        if path != self._path:
            self._path = path
            self.reopen()

    def reopen(self) -> None:
        """Close and open again, after the file was renamed."""
        self.close()
        self._failed = False
        if self._path == STDERR:
            self._file = sys.stderr
        elif self._path:
            try:
                self._file = open(  # noqa: SIM115
                    self._path, "a", buffering=1, encoding="utf-8", opener=_for_group
                )
            except OSError as exc:
                log.error("the access log %r cannot be opened: %s", self._path, exc.strerror)

    def write(self, closed: Closed) -> None:
        """Write one line; a full disk is told once and costs no connection."""
        if self._file is None:
            return
        try:
            self._file.write(line(closed, ended_at=datetime.now(UTC)))
        except OSError as exc:
            if not self._failed:
                log.error("the access log %r cannot be written: %s", self._path, exc.strerror)
            self._failed = True

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None and self._file is not sys.stderr:
            try:
                self._file.close()
            except OSError as exc:
                log.error("the access log %r cannot be written: %s", self._path, exc.strerror)
        self._file = None


def _for_group(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
