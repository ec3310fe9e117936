"""ACL tokens that were made for proxies and that Consul does not know any more.

An operator, a script or an expiry deleted them. A proxy that runs goes on with what it knows until its
certificate ends; it can only be started again with a token that Consul knows.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from connect_proxy.errors import ConsulError
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.member import Member
from connect_proxy.managed.tokens import ProxyTokens
from connect_proxy.supervisor.states import State

log = logging.getLogger("connect_proxy.managed")

ENDED_BADLY: Final = frozenset({State.BACKOFF.value, State.FATAL.value})


class LostTokens:
    """Looks at one agent's proxies."""

    def __init__(
        self, tokens: ProxyTokens, fleet: Fleet, *, replace: Callable[[frozenset[str]], Awaitable[None]]
    ) -> None:
        """*replace* gives the named proxies new tokens, for their next start."""
        self._tokens, self._fleet, self._replace = tokens, fleet, replace
        self._looked_at: dict[str, object] = {}
        """By proxy id: the end after which its token was looked at last."""

    async def renew(self, proxy_ids: Iterable[str]) -> frozenset[str]:
        """Before a start that somebody asks for: replace what is lost; of which proxies it was. While
        Consul cannot be asked, nothing is."""
        members = [member for name in proxy_ids if (member := self._fleet.members.get(name))]
        lost = frozenset([member.record.id for member in members if await self._is_lost(member)])
        if lost:
            log.warning("Consul does not know the tokens of %s any more: new ones", ", ".join(sorted(lost)))
            await self._replace(lost)
        return lost

    async def look(self) -> None:
        """Of what ended badly since the last look, start again what did so for want of a token."""
        for name in await self.renew(self._suspects()):
            member = self._fleet.members.get(name)
            if member is not None and member.state == State.FATAL.value and not member.hindrance:
                self._fleet.start(name)

    def _suspects(self) -> list[str]:
        found = []
        for name, member in self._fleet.members.items():
            end = (member.supervisor, member.record.restarts, member.record.token_accessor)
            if member.state in ENDED_BADLY and self._looked_at.get(name) != end:
                self._looked_at[name] = end
                found.append(name)
        return found

    async def _is_lost(self, member: Member) -> bool:
        accessor = member.assignment.token_accessor
        if not accessor or member.hindrance:
            return False
        try:
            return await self._tokens.find(accessor) is None
        except ConsulError as exc:
            log.debug("whether the token of %s is still there: %s", member.record.id, exc)
            return False
