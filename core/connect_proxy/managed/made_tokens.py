"""The ACL tokens that were made for proxies, known until Consul says that they are gone.

What is deleted is all that no proxy uses any more, however that came about: its definition was removed
while Consul or the agent was away, or has got a token of its own. Only accessors are kept, no secret.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from connect_proxy.errors import AgentUnreachableError, ConsulError, NoLeaderError
from connect_proxy.managed.tokens import ProxyTokens

log = logging.getLogger("connect_proxy.managed")

FIRST_PAUSE_S: Final = 10.0
"""Until Consul is asked again what it refused, twice as long each time: one that has just started refuses
what it knows too little of."""
REFUSED_PAUSE_S: Final = 600.0
"""The longest of these pauses: it takes somebody to change an ACL policy."""
NAMED_AT_MOST: Final = 5


class MadeTokens:
    """The accessors of one agent's tokens."""

    def __init__(
        self,
        tokens: ProxyTokens,
        *,
        remembered: Iterable[str] = (),
        remember: Callable[[frozenset[str]], None] = lambda _accessors: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*remembered*: of tokens that an earlier run made. *remember* is told all of them whenever they
        change, to put them on disk."""
        self._tokens = tokens
        self._remember = remember
        self._clock = clock
        self._known = frozenset(filter(None, remembered))
        self._written = self._known
        self._left: frozenset[str] = frozenset()
        self._refused_until: dict[str, float] = {}
        """By accessor: when to ask again, on :class:`time.monotonic`'s clock."""
        self._is_away = False
        self._refusals = 0
        self._refused = ""

    @property
    def left(self) -> frozenset[str]:
        """Those that are still to be deleted."""
        return self._left

    @property
    def is_due(self) -> bool:
        """Whether one of those that are left can be tried now."""
        return bool(self._due())

    def note(self, accessor: str) -> None:
        """That token was made, or was found again. :meth:`save` puts it on disk."""
        self._known |= {accessor}

    def save(self) -> None:
        """Have it remembered what has been noted."""
        if self._known != self._written:
            self._written = self._known
            self._remember(self._known)

    def retry(self) -> None:
        """What Consul refused may be granted now: the next :meth:`delete_all_but` asks again."""
        self._refused_until.clear()
        self._refusals = 0

    async def delete_all_but(self, used: Collection[str]) -> None:
        """Delete what is not in *used*. What fails stays known; why is said once."""
        self._left = self._known.difference(used)
        self._refused_until = {
            name: until for name, until in self._refused_until.items() if name in self._left
        }
        for accessor in self._due():
            try:
                await self._tokens.delete(accessor)
            except (AgentUnreachableError, NoLeaderError) as exc:
                self._say_away(exc)
                break
            except ConsulError as exc:
                self._say_refused(exc)
                break
            self._is_away, self._refusals, self._refused = False, 0, ""
            self._known -= {accessor}
            self._left -= {accessor}
            log.info("the token with accessor %s is deleted", accessor)
        self.save()

    def _due(self) -> list[str]:
        now = self._clock()
        return sorted(name for name in self._left if self._refused_until.get(name, now) <= now)

    def _say_away(self, exc: ConsulError) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("%s still to be deleted once Consul is back: %s", self._named(), exc)

    def _say_refused(self, exc: ConsulError) -> None:
        self._is_away = False
        said = f"{self._named()} left behind; deleting is tried again later, and at a reload: {exc}"
        if said != self._refused:
            self._refused = said
            log.error("%s", said)
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._refusals, 10), REFUSED_PAUSE_S)
        self._refusals += 1
        self._refused_until = dict.fromkeys(self._left, self._clock() + pause)

    def _named(self) -> str:
        names = sorted(self._left)
        if len(names) == 1:
            return f"the token with accessor {names[0]} is"
        more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
        return f"the tokens with accessors {', '.join(names[:NAMED_AT_MOST])}{more} are"
