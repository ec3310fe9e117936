"""``connect-proxy start ID|-all``: start managed proxies that were stopped or gave up."""

from collections.abc import Sequence

from connect_proxy.cli.operator import ROWS_OF_MANY as ROWS
from connect_proxy.cli.operator import operate

__all__ = ["ROWS", "execute"]


def execute(words: Sequence[str]) -> int:
    """Ask the running agent. Raises AgentNotRunningError, ControlError."""
    return operate("start", words, summary="Start managed proxies that were stopped, or that gave up.")
