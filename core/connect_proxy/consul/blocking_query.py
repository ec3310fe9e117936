"""The bookkeeping of blocking queries: index, client time-out, back-off. Pure.

Source: Consul's "Blocking Queries" page: implementation details for clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from connect_proxy.errors import ConfigurationError

MAX_WAIT_S: Final = 600.0
"""Consul's ceiling for ``wait``; it silently lowers what is above."""
TIMEOUT_MARGIN_S: Final = 10.0
"""What an answer may take beside the waiting itself."""


def wait_text(wait_s: float) -> str:
    """Seconds as the Go duration Consul's clients send: whole milliseconds, at least one."""
    return f"{max(1, round(min(wait_s, MAX_WAIT_S) * 1000))}ms"


def client_timeout_s(wait_s: float) -> float:
    """How long a client waits for an answer that the agent may hold back for *wait_s* seconds.

    The agent adds up to a sixteenth of the wait at random, so that not all clients come back at
    once: a client that gives up before is always too early.
    """
    return min(wait_s, MAX_WAIT_S) * (1 + 1 / 16) + TIMEOUT_MARGIN_S


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a watch stands: the index to block on next, 0 for an answer at once."""

    index: int = 0

    def after(self, answered: int) -> Cursor:
        """The cursor after an answer that carried the index *answered*.

        An index that went back means that the server's state was replaced (a restored backup, a
        new leader): start over without blocking, since waiting for the old one may never end. An
        index below 1 is no index; blocking on 0 would not block.
        """
        if answered < self.index:
            return Cursor(0)
        return Cursor(max(1, answered))


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait before the next try, growing with each failure in a row. Immutable.

    The first retry comes after ``quick_s``: most failures are a restart that is already over. Then
    ``first_s`` doubles up to ``ceiling_s``. Each delay is spread over its upper half by a random
    number, so that the proxies of a host do not come back together.
    """

    quick_s: float = 0.1
    first_s: float = 1.0
    ceiling_s: float = 30.0
    failures: int = field(default=0)

    def __post_init__(self) -> None:
        if not 0 < self.quick_s <= self.first_s <= self.ceiling_s < float("inf"):
            message = (
                f"back-off '{self.quick_s:g}, {self.first_s:g} .. {self.ceiling_s:g}' s is not rising: "
                "give 0 < quick <= first <= ceiling"
            )
            raise ConfigurationError(message)
        if self.failures < 0:
            message = f"back-off after '{self.failures}' failures: give 0 or more"
            raise ConfigurationError(message)

    def failed(self) -> Backoff:
        """After one more failure."""
        return replace(self, failures=self.failures + 1)

    def reset(self) -> Backoff:
        """After a success."""
        return replace(self, failures=0)

    @property
    def longest_delay_s(self) -> float:
        """The delay before the next try, without the random part; 0 when nothing has failed."""
        if self.failures == 0:
            return 0.0
        if self.failures == 1:
            return self.quick_s
        # Doubling 64 times exceeds any ceiling; beyond that the power would only overflow.
        return min(self.first_s * 2.0 ** min(self.failures - 2, 64), self.ceiling_s)

    def delay_s(self, random: float) -> float:
        """The delay, with *random* (0 <= random < 1) choosing within its upper half."""
        return self.longest_delay_s * (0.5 + random / 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Bounds how often one query is asked, however often it is answered. Immutable.

    A blocking query that is answered at once, again and again (a busy catalog, an agent or a proxy
    between that ignores ``index``) would keep both sides busy. ``burst`` questions are free, then
    ``per_second`` are earned.
    """

    burst: int = 16
    per_second: float = 4.0
    spent: float = 0.0
    at: float = 0.0

    def asked(self, now: float) -> Pace:
        """After one more question at *now* (monotonic seconds)."""
        earned = max(0.0, now - self.at) * self.per_second
        return replace(self, spent=max(0.0, self.spent - earned) + 1, at=now)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next question."""
        return max(0.0, self.spent - self.burst) / self.per_second
