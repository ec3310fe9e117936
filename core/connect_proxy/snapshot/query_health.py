"""Which of a watcher's queries fail, since when, and what is worth a line in the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from connect_proxy.consul.clock import Clock
from connect_proxy.errors import (
    AgentUnreachableError,
    ConnectProxyError,
    NoLeaderError,
    RefusedError,
)
from connect_proxy.snapshot.snapshot import FeedStatus

log = logging.getLogger("connect_proxy.snapshot")

OUTAGE = (AgentUnreachableError, NoLeaderError)
"""Failures of the agent as a whole: every query has them, one line in the log is enough."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One query that is not answered now."""

    since: datetime
    error: ConnectProxyError


class QueryHealth:
    """The record of all queries of one watcher. Logs transitions, never each retry."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[str, Failure] = {}
        """The one that failed last stands last."""

    def failed(self, query: str, error: ConnectProxyError) -> None:
        """*query* was answered with *error*."""
        known = self._failing.pop(query, None)
        if known is None or type(known.error) is not type(error):
            self._log_failure(query, error)
        since = known.since if known else self._clock.now()
        self._failing[query] = Failure(since, error)

    def answered(self, query: str) -> None:
        """*query* was answered."""
        if self._failing.pop(query, None) is None:
            return
        if not self._failing:
            log.info("every query is answered again")
        else:
            log.debug("%s: answered again", query)

    def forget(self, query: str) -> None:
        """*query* is not asked any more."""
        self._failing.pop(query, None)

    def status(self, *, generation: int, changed_at: datetime | None) -> FeedStatus:
        """The picture now."""
        outages = [one.since for name, one in self._failing.items() if _is_outage(name, one)]
        return FeedStatus(
            generation=generation,
            changed_at=changed_at,
            stale_since=min(outages, default=None),
            last_error=next((f"{name}: {one.error}" for name, one in reversed(self._failing.items())), ""),
            failing=tuple(sorted(self._failing)),
            token_refused=any(isinstance(one.error, RefusedError) for one in self._failing.values()),
        )

    def _log_failure(self, query: str, error: ConnectProxyError) -> None:
        if isinstance(error, OUTAGE) and any(
            isinstance(one.error, OUTAGE) for one in self._failing.values()
        ):
            log.debug("%s: %s", query, error)
            return
        log.warning("%s: %s (what was known stays in force; trying again)", query, error)


def _is_outage(query: str, failure: Failure) -> bool:
    """Whether this failure means that the snapshot as a whole grows old.

    One upstream that Consul cannot answer for (an unknown query, an unreachable datacenter) does not.
    """
    return isinstance(failure.error, OUTAGE) or not query.startswith("upstream ")
