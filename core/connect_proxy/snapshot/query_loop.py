"""Asking one query for ever: what happens between an answer or a failure and the next question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from connect_proxy.consul.clock import Clock
from connect_proxy.errors import ConsulError, RefusedError
from connect_proxy.secret import Secret
from connect_proxy.snapshot.query_health import QueryHealth
from connect_proxy.snapshot.settings import WatchSettings


class Query(Protocol):
    """One thing to be kept fresh."""

    @property
    def name(self) -> str:
        """``leaf``, ``upstream db``: as it is shown in the status."""

    async def ask(self) -> float:
        """Ask once and hand on what is new. Seconds to pause before the next question."""

    def start_over(self) -> None:
        """The last question failed: do not block on what was known before."""


class Nudge:
    """Pauses that can be cut short for everybody at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def all(self) -> None:
        """End every pause that is under way."""
        self._event.set()
        self._event = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Come back after *seconds*, or when nudged."""
        over = asyncio.create_task(self._clock.sleep(seconds))
        nudged = asyncio.create_task(self._event.wait())
        try:
            await asyncio.wait({over, nudged}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, nudged):
                task.cancel()
            await asyncio.gather(over, nudged, return_exceptions=True)


class QueryLoop:
    """The one policy for failures and pacing, for every query of a watcher."""

    def __init__(
        self,
        *,
        clock: Clock,
        settings: WatchSettings,
        health: QueryHealth,
        nudge: Nudge,
        token: Callable[[], Secret],
        refresh_token: Callable[[], bool],
    ) -> None:
        """*token*: the one in force. *refresh_token* reads the token file again and tells whether a new
        one is."""
        self._clock = clock
        self._settings = settings
        self._health = health
        self._nudge = nudge
        self._token = token
        self._refresh_token = refresh_token

    async def run(self, query: Query) -> None:
        """Ask until cancelled."""
        backoff, pace = self._settings.backoff, self._settings.pace
        while True:
            pace = pace.asked(self._clock.monotonic())
            asked_with = self._token()
            try:
                pause_s = await query.ask()
            except ConsulError as exc:
                query.start_over()
                if isinstance(exc, RefusedError) and (
                    # Or somebody else has read it while this question was held: it was the old token's.
                    self._refresh_token() or self._token() != asked_with
                ):
                    continue
                self._health.failed(query.name, exc)
                backoff = backoff.failed()
                await self._nudge.pause(backoff.delay_s(self._clock.random()))
            else:
                self._health.answered(query.name)
                backoff = backoff.reset()
                if (pause_s := max(pause_s, pace.pause_s)) > 0:
                    await self._nudge.pause(pause_s)
