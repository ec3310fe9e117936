"""``connect-proxy restart ID|-all``: stop and start managed proxies, one after the other."""

from collections.abc import Sequence

from connect_proxy.cli.operator import ROWS_OF_MANY as ROWS
from connect_proxy.cli.operator import operate

__all__ = ["ROWS", "execute"]


def execute(words: Sequence[str]) -> int:
    """Ask the running agent. Raises AgentNotRunningError, ControlError."""
    summary = (
        "Stop managed proxies and start them again: with -all one after the other, each once the one"
        " before it accepts connections again."
    )
    return operate("restart", words, summary=summary)
