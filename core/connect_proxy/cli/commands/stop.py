"""``connect-proxy stop ID|-all``: stop managed proxies, until they are told to start."""

from collections.abc import Sequence

from connect_proxy.cli.operator import ROWS_OF_MANY as ROWS
from connect_proxy.cli.operator import Order, operate

__all__ = ["ROWS", "execute"]


def execute(words: Sequence[str]) -> int:
    """Ask the running agent, or do it without one. Raises ControlError, UnknownProxyError."""
    summary = (
        "Drain and stop managed proxies. They stay stopped, over restarts of the agent too, until"
        " `connect-proxy start`. Works without an agent too."
    )
    return operate("stop", words, summary=summary, offline=_without_agent)


def _without_agent(order: Order) -> list[str]:
    from connect_proxy.managed import offline

    directory = order.directory
    # Before the lock: no directory is made of a mistyped -data-dir.
    records = offline.left_by_the_last_agent(directory)
    ids = [offline.known(records, word) for word in order.words] or sorted(records)
    directory.lock()
    try:
        for proxy_id in ids:
            offline.stop(directory, proxy_id)
    finally:
        directory.unlock()
    return ids
