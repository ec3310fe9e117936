"""Blocking queries: wait until something that the query shows has changed.

Rules (tried on Consul 1.8.7): without ``index`` or with 0 the answer comes at once; an index above
the current one waits as well; the wait is 5 minutes unless given, at most 10, plus up to a
sixteenth of itself; after it the same index comes back. The index never is 0.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import QueryParams

from connect_proxy.dev_agent.changes import Changes, Topic
from connect_proxy.dev_agent.go_duration import NotADurationError, seconds
from connect_proxy.dev_agent.http.call import Call
from connect_proxy.errors import ApiError

DEFAULT_WAIT: Final = 300.0
LONGEST_WAIT: Final = 600.0
JITTER_FRACTION: Final = 16
_LARGEST_INDEX: Final = 2**64 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryOptions:
    """``index`` and ``wait`` (seconds) of a request."""

    index: int = 0
    wait: float = DEFAULT_WAIT

    def patience(self, spread: Callable[[float], float]) -> float:
        """Seconds to wait, jitter included; *spread* picks a part of the most that jitter may be."""
        wait = min(self.wait if self.wait > 0 else DEFAULT_WAIT, LONGEST_WAIT)
        return wait + spread(wait / JITTER_FRACTION)


def query_options(query: QueryParams) -> QueryOptions:
    """Raises ApiError (400) for what Consul cannot parse, in Consul's order and words."""
    wait, index = DEFAULT_WAIT, 0
    if given := query.get("wait"):
        try:
            wait = seconds(given)
        except NotADurationError as exc:
            raise ApiError(400, "Invalid wait time") from exc
    if given := query.get("index"):
        if not (given.isascii() and given.isdigit()) or int(given) > _LARGEST_INDEX:
            raise ApiError(400, "Invalid index")
        index = int(given)
    if "stale" in query and "consistent" in query:
        message = "Cannot specify ?stale with ?consistent, conflicting semantics."
        raise ApiError(400, message)
    return QueryOptions(index=index, wait=wait)


def is_blocking(query: QueryParams) -> bool:
    """Whether the request may take long: it names an index or a hash."""
    return query.get("index", "0") not in {"", "0"} or bool(query.get("hash"))


async def wait_for_change(call: Call, *topics: Topic, jitter: bool = True) -> int:
    """Block as *call* asks for, on *topics*. Returns the index to answer with."""
    options = query_options(call.query)
    changes = call.state.changes
    if options.index:
        patience = options.patience(_random_part if jitter else _nothing)
        await _until(changes, topics, lambda: changes.index(*topics) > options.index, patience)
    return changes.index(*topics)


async def wait_for_other(call: Call, topic: Topic, hash_now: Callable[[], str]) -> None:
    """Block while ``?hash=`` is what *hash_now* says, on *topic*."""
    options = query_options(call.query)
    known = call.query.get("hash", "")
    if known:
        patience = options.patience(_random_part)
        await _until(call.state.changes, (topic,), lambda: hash_now() != known, patience)


async def wait_while(call: Call, topic: Topic, holds: Callable[[], bool]) -> None:
    """Block while *holds* says so, on *topic*, no longer than *call* asks for."""
    patience = query_options(call.query).patience(_nothing)
    await _until(call.state.changes, (topic,), lambda: not holds(), patience)


async def _until(
    changes: Changes, topics: tuple[Topic, ...], done: Callable[[], bool], patience: float
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not done():
        left = deadline - loop.time()
        if left <= 0 or changes.closed:
            return
        await changes.wait(topics, timeout=left)


def _random_part(most: float) -> float:
    return random.uniform(0, most)  # noqa: S311 - spreads load, protects nothing


def _nothing(most: float) -> float:
    return 0.0
