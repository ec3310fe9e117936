"""Asks Consul whether a source may call, for all workers.

While Consul is away, known answers stand and unknown sources are refused; it is asked on until it
answers. Decisions are asked for again when intentions change, a little later once more (an agent
may learn of the change after the server that told us), and from time to time in any case.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from connect_proxy.consul.client import ConsulClient
from connect_proxy.errors import ConsulError
from connect_proxy_builtin.authorization import DecisionBook
from connect_proxy_builtin.messages import AuthorizeSource, Decide, ForgetDecisions, Order

log = logging.getLogger("connect_proxy.builtin")

ASK_TIMEOUT_S: Final = 5.0
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 15.0
ASK_AGAIN_AFTER_S: Final = (0.5, 2.0)
ASK_ANYWAY_EVERY_S: Final = 60.0


class Authorizer:
    """One per proxy. For one event loop."""

    def __init__(self, consul: ConsulClient, *, target: str, post: Callable[[Order], None]) -> None:
        """*target*: the service that is called. *post* reaches every worker."""
        self._consul, self._target, self._post = consul, target, post
        self._book = DecisionBook()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.Task[None] | None = None
        self.unanswered_since: datetime | None = None
        """Since when Consul does not answer; None while it does."""

    def asked(self, question: AuthorizeSource) -> None:
        """A worker wants to know."""
        decision = self._book.in_force(question.source)
        if decision is not None:
            self._post(Decide(source=question.source, allowed=decision.authorized, reason=decision.reason))
        elif self._book.begin_asking(question.source, question.serial):
            task = asyncio.create_task(self._ask(question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def intentions_changed(self) -> None:
        """Every decision is void; who is connected is asked about at once, and again soon."""
        self._begin_round()
        if self._again is not None:
            self._again.cancel()
        self._again = asyncio.create_task(self._ask_again())

    def _begin_round(self) -> None:
        self._book.begin_round()
        self._post(ForgetDecisions())

    async def _ask_again(self) -> None:
        for pause in ASK_AGAIN_AFTER_S:
            await asyncio.sleep(pause)
            self._begin_round()
        while True:
            await asyncio.sleep(ASK_ANYWAY_EVERY_S)
            self._begin_round()

    async def _ask(self, question: AuthorizeSource) -> None:
        """Until there is an answer of the current round, or an unknown source had to be refused."""
        source, pause = question.source, RETRY_FIRST_S
        try:
            while True:
                asked_in = self._book.round
                try:
                    async with asyncio.timeout(ASK_TIMEOUT_S):
                        decision = await self._consul.authorize(
                            target=self._target, client_uri=source, serial=question.serial
                        )
                except (ConsulError, TimeoutError) as exc:
                    if not self._without_consul(source, exc):
                        return
                    await asyncio.sleep(pause)
                    pause = min(RETRY_LONGEST_S, pause * 2)
                    continue
                self._answering()
                if self._book.answered(source, asked_in=asked_in, decision=decision):
                    self._post(Decide(source=source, allowed=decision.authorized, reason=decision.reason))
                    return
        finally:
            self._book.end_asking(source)

    def _without_consul(self, source: str, exc: Exception) -> bool:
        """What holds while Consul gives no answer; whether it has to be asked on."""
        reason = str(exc) or "no answer in time"
        if self.unanswered_since is None:
            self.unanswered_since = datetime.now(UTC)
            log.error(
                "Consul does not authorise callers now: known ones keep their last decision, "
                "unknown ones are refused: %s",
                reason,
            )
        last = self._book.last_known(source)
        if last is None:
            self._post(Decide(source=source, allowed=False, reason=reason, lasting=False))
            return False
        self._post(Decide(source=source, allowed=last.authorized, reason=last.reason))
        return True

    def _answering(self) -> None:
        if self.unanswered_since is not None:
            self.unanswered_since = None
            log.info("Consul authorises callers again")

    async def aclose(self) -> None:
        """End every question."""
        tasks = [*self._tasks, *([self._again] if self._again else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
