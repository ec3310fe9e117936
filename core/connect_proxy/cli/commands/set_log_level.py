"""``connect-proxy set-log-level ID|-all LEVEL``: how much running proxies log."""

from __future__ import annotations

from collections.abc import Sequence

from connect_proxy.cli.operator import ROWS_OF_MANY as ROWS
from connect_proxy.cli.operator import order, target, tell
from connect_proxy.errors import UsageError

__all__ = ["ROWS", "execute"]


def execute(words: Sequence[str]) -> int:
    """Ask the running agent. Raises UsageError, AgentNotRunningError, ControlError."""
    from connect_proxy.managed.control import ask

    summary = (
        "Change how much managed proxies log: at once and at their next starts, until another order or a"
        " changed log_level of the files. default: as the files have it."
    )
    said = order("set-log-level", ROWS, words, usage="ID LEVEL | -all LEVEL [OPTIONS]", summary=summary)
    if said is None:
        return 0
    if not said.words:
        message = "set-log-level needs a level: TRACE, DEBUG, INFO, WARN, ERROR or default"
        raise UsageError(message)
    *ids, level = said.words
    return tell(ask(said.folder, "set-log-level", level=level, **target(said, "set-log-level", words=ids)))
