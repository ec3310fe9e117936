"""Logging to standard error, as text or as JSON lines with the keys of Consul's own logs.

Nothing is filtered out: secrets never reach a log record, since :class:`~connect_proxy.secret.Secret`
shows itself as ``<hidden>``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

TRACE: Final = 5

LEVELS: Final[Mapping[str, int]] = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
}
ALIASES: Final[Mapping[str, str]] = {"ERR": "ERROR"}

TALKATIVE: Final = ("asyncio", "httpcore", "httpx", "hpack", "uvicorn")
"""Libraries that log every request at INFO or each step at DEBUG: only heard at TRACE."""


def canonical_level(name: str) -> str:
    """One of :data:`LEVELS` for a checked level's name."""
    return ALIASES.get(name, name)


def configure_logs(level: str, *, as_json: bool, stream: TextIO | None = None) -> None:
    """From now on everything of *level* and above goes to *stream* (standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.addLevelName(TRACE, "TRACE")
    logging.captureWarnings(True)
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(TRACE if level == "TRACE" else logging.WARNING)


def level_name(number: int) -> str:
    """The name of the highest of our levels that is not above *number*."""
    reached = [name for name, least in LEVELS.items() if least <= number]
    return reached[-1] if reached else "TRACE"


def timestamp(seconds: float) -> str:
    """RFC 3339 with milliseconds, in UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z [INFO]  connect_proxy.run: message``: one line, then any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One record. Line breaks inside the message are escaped: it cannot forge another line."""
        level = f"[{level_name(record.levelno)}]"
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{timestamp(record.created)} {level:<7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """``{"@level": "info", "@message": …, "@module": …, "@timestamp": …}``, as hclog writes it."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        entry = {
            "@level": level_name(record.levelno).lower(),
            "@message": record.getMessage(),
            "@module": record.name,
            "@timestamp": timestamp(record.created),
        }
        if record.exc_info:
            entry["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(entry)
