"""Who may call the service: the intentions that cover it, and what happens where none does.

``match`` gives the intentions but, before Consul 1.9, no index. The list of all intentions has one
that moves with every change of any: it is what is blocked on. Where the token may not list them,
``match`` is polled.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from connect_proxy.consul.blocking_query import Cursor
from connect_proxy.consul.client import Authorization, ConsulClient
from connect_proxy.consul.clock import Clock
from connect_proxy.errors import ConsulError, PermissionDeniedError
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy.snapshot.assembly import IntentionsPart
from connect_proxy.snapshot.query_health import OUTAGE
from connect_proxy.snapshot.settings import WatchSettings
from connect_proxy.snapshot.watches import jittered

log = logging.getLogger("connect_proxy.snapshot")

MATCHED: Final = "matched intention"
"""How Consul begins the reason of a decision that an intention made."""
UNCLEAR_TRIES: Final = 5
UNCLEAR_PAUSE_S: Final = 0.2


class IntentionsQuery:
    """Looks whenever any intention changed, and hands on one consistent :class:`IntentionsPart`."""

    name = "intentions"

    def __init__(
        self,
        client: ConsulClient,
        registration: Registration,
        *,
        trust_domain: Callable[[], Awaitable[str]],
        clock: Clock,
        settings: WatchSettings,
        accept: Callable[[IntentionsPart], None],
    ) -> None:
        """*trust_domain* waits until the roots are known."""
        self._client = client
        self._service = registration.destination_service_name
        self._namespace = registration.namespace
        self._datacenter = registration.datacenter or "dc1"
        self._trust_domain = trust_domain
        self._clock = clock
        self._settings = settings
        self._accept = accept
        self._cursor = Cursor()
        self._may_list = True
        self._default_known = True
        self._last_default: bool | None = None

    async def ask(self) -> float:
        wait_s = self._settings.wait_s
        if not self._default_known:
            wait_s = min(wait_s, self._settings.poll_s)
        try:
            listed = await self._client.intentions(index=self._cursor.index, wait=wait_s)
        except PermissionDeniedError as exc:
            if self._may_list:
                log.info("intentions are polled every %g s: %s", self._settings.poll_s, exc)
            self._may_list = False
            await self._look(index=0)
            return jittered(self._settings.poll_s, self._clock)
        self._may_list = True
        if listed.index != self._cursor.index or not self._default_known or listed.index == 0:
            await self._look(index=listed.index)
        if listed.index == 0:
            return jittered(self._settings.poll_s, self._clock)
        # Only now: a look that failed has to be repeated at once, not after the next change.
        self._cursor = self._cursor.after(listed.index)
        return 0.0

    def start_over(self) -> None:
        self._cursor = Cursor()

    async def _look(self, *, index: int) -> None:
        intentions = await self._client.intentions_for(self._service)
        default_allow = await self._default(intentions)
        self._accept(IntentionsPart(intentions=intentions, default_allow=default_allow, index=index))

    async def _default(self, intentions: tuple[Intention, ...]) -> bool:
        """What Consul decides where no intention matches.

        While it does not say, its last word stands, so that new intentions are not held up; before
        the first one that is deny.
        """
        try:
            decided = await self._ask_default(intentions)
            reason = "its answers speak of an intention that is not there"
        except ConsulError as exc:
            if self._last_default is None and isinstance(exc, OUTAGE):
                raise
            decided, reason = None, str(exc)
        if decided is None:
            fallback = bool(self._last_default)
            if self._default_known:
                word = "allowed" if fallback else "denied"
                log.warning("callers without an intention are %s until Consul decides: %s", word, reason)
            self._default_known = False
            return fallback
        self._default_known, self._last_default = True, decided
        return decided

    async def _ask_default(self, intentions: tuple[Intention, ...]) -> bool | None:
        """Consul's decision on a caller that cannot exist; None if it stays unclear.

        The agent answers from a cache that may be a moment behind ``match``: an answer that does not
        fit the intentions is asked for again.
        """
        stranger = ServiceIdentity(
            trust_domain=await self._trust_domain(),
            datacenter=self._datacenter,
            namespace=self._namespace,
            service=f"connect-proxy-probe-{uuid.uuid4().hex}",
        )
        covered = any(
            rule.matches_source(namespace=stranger.namespace, name=stranger.service) for rule in intentions
        )
        for _ in range(UNCLEAR_TRIES):
            answer = await self._client.authorize(
                target=self._service, client_uri=stranger.uri, serial="00"
            )
            decided = default_decision(answer, covered=covered)
            if decided is not None:
                return decided
            await self._clock.sleep(UNCLEAR_PAUSE_S)
        return None


def default_decision(answer: Authorization, *, covered: bool) -> bool | None:
    """What *answer* tells of the default. None: it speaks of an intention that is not there.

    ``covered``: an intention for any source covers the service, so the default never decides; False
    then stands for the answer that would be safe.
    """
    if answer.reason.lower().startswith(MATCHED):
        return False if covered else None
    return answer.authorized
