"""The queries that a snapshot is made of, one class a kind; intentions have a module of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from connect_proxy.consul.blocking_query import Cursor
from connect_proxy.consul.client import Answer, ConsulClient
from connect_proxy.consul.clock import Clock
from connect_proxy.errors import AgentAnswerError, NotFoundError
from connect_proxy.mesh.certificates import Leaf
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.registration import CONNECT_PROXY, Registration, Upstream
from connect_proxy.snapshot.settings import WatchSettings

log = logging.getLogger("connect_proxy.snapshot")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

RENEWAL_SHARE: Final = 0.8
"""Of a leaf's life: Consul renews between 60 and 90 %; from here on it is asked more often."""
SHORTEST_LEAF_WAIT_S: Final = 1.0


class Fetch(Protocol[T_co]):
    """One call of the client that blocks by index."""

    async def __call__(self, *, index: int, wait: float) -> Answer[T_co]: ...


class IndexQuery(Generic[T]):
    """What Consul counts with an index: roots, instances of a service."""

    def __init__(
        self, name: str, *, fetch: Fetch[T], accept: Callable[[T], None], settings: WatchSettings
    ) -> None:
        self.name = name
        self._fetch = fetch
        self._accept = accept
        self._settings = settings
        self._cursor = Cursor()

    async def ask(self) -> float:
        answer = await self._fetch(index=self._cursor.index, wait=self._settings.wait_s)
        self._accept(answer.value)
        if answer.index == 0:
            # No index to block on (a proxy between took the header away): polling is what is left.
            self._cursor = Cursor()
            return self._settings.poll_s
        self._cursor = self._cursor.after(answer.index)
        return 0.0

    def start_over(self) -> None:
        self._cursor = Cursor()


class RegistrationQuery:
    """The proxy's own registration, blocking by hash. A vanished one is looked for until it is back."""

    name = "registration"

    def __init__(
        self,
        client: ConsulClient,
        registration: Registration,
        *,
        clock: Clock,
        settings: WatchSettings,
        accept: Callable[[Registration], None],
        vanished: Callable[[], None],
    ) -> None:
        self._client = client
        self._id = registration.id
        self._hash = registration.content_hash
        self._clock = clock
        self._settings = settings
        self._accept = accept
        self._vanished = vanished
        self._absence = settings.absent

    async def ask(self) -> float:
        try:
            answer = await self._client.service(
                self._id, content_hash=self._hash, wait=self._settings.wait_s
            )
        except NotFoundError as exc:
            return self._is_absent(str(exc))
        if answer.value.kind != CONNECT_PROXY:
            return self._is_absent(f"'{self._id}' is now registered as something else than a proxy")
        if self._absence.failures:
            log.info("proxy '%s' is registered again", self._id)
            self._absence = self._absence.reset()
        self._hash = answer.content_hash
        self._accept(answer.value)
        return 0.0 if self._hash else self._settings.poll_s

    def start_over(self) -> None:
        self._hash = ""

    def _is_absent(self, reason: str) -> float:
        if not self._absence.failures:
            log.warning("proxy '%s' is not registered any more; it keeps serving: %s", self._id, reason)
        self._absence = self._absence.failed()
        self._hash = ""
        self._vanished()
        return self._absence.delay_s(self._clock.random())


class LeafQuery:
    """The certificate of the service. Consul renews it; near its end it is asked for more often."""

    name = "leaf"

    def __init__(
        self,
        client: ConsulClient,
        service: str,
        *,
        clock: Clock,
        settings: WatchSettings,
        accept: Callable[[Leaf], None],
    ) -> None:
        self._client = client
        self._service = service
        self._clock = clock
        self._settings = settings
        self._accept = accept
        self._cursor = Cursor()
        self._leaf: Leaf | None = None

    async def ask(self) -> float:
        wait_s = self._settings.wait_s
        if self._leaf is not None:
            wait_s = leaf_wait_s(self._leaf, now=self._clock.now(), longest_s=wait_s)
        answer = await self._client.leaf(self._service, index=self._cursor.index, wait=wait_s)
        if answer.value.valid_before <= self._clock.now():
            raise AgentAnswerError(leaf_expired(answer.value))
        self._leaf = answer.value
        self._accept(answer.value)
        self._cursor = self._cursor.after(answer.index)
        return 0.0 if answer.index else min(wait_s, self._settings.poll_s)

    def start_over(self) -> None:
        # Any agent has a later one than 1, so this does not wait for long. Asking with an index says that
        # the old certificate is still in use: the embedded agent then replaces it after its restart only
        # when the other proxies know of the new root.
        self._cursor = Cursor() if self._leaf is None else Cursor(1)


def leaf_wait_s(leaf: Leaf, *, now: datetime, longest_s: float) -> float:
    """How long to block for the successor of *leaf*: until the point where it should be there.

    Past that point a tenth of the life that is left, so that the questions come closer and the
    last one is asked shortly before the end.
    """
    lifetime: timedelta = leaf.valid_before - leaf.valid_after
    until_renewal = (leaf.valid_after + RENEWAL_SHARE * lifetime - now).total_seconds()
    left = (leaf.valid_before - now).total_seconds()
    wanted = until_renewal if until_renewal > 0 else left / 10
    return min(max(wanted, SHORTEST_LEAF_WAIT_S), longest_s)


def leaf_expired(leaf: Leaf) -> str:
    """The sentence for an expired leaf."""
    return (
        f"the leaf certificate of '{leaf.service}' expired at '{leaf.valid_before.isoformat()}' and Consul "
        "has given no new one: check its CA (consul connect ca get-config) and the clocks of both hosts"
    )


class InstancesQuery:
    """The instances of an upstream's service: blocked on while there is a place, else polled."""

    def __init__(
        self,
        client: ConsulClient,
        upstream: Upstream,
        *,
        places: asyncio.Semaphore,
        turns: asyncio.Semaphore,
        clock: Clock,
        settings: WatchSettings,
        accept: Callable[[tuple[Endpoint, ...]], None],
    ) -> None:
        """*places*, *turns*: how many upstreams of this proxy may be blocked on at once, and how many
        of the others may be asked about at once; shared by them."""
        self.name = f"upstream {upstream.id}"
        self._places = places
        self._turns = turns
        self._clock = clock
        self._settings = settings
        self._accept = accept
        self._fetch = partial(client.instances, upstream.destination_name, datacenter=upstream.datacenter)
        self._held = IndexQuery(self.name, fetch=self._fetch, accept=accept, settings=settings)

    async def ask(self) -> float:
        if self._places.locked():
            async with self._turns:
                self._accept((await self._fetch()).value)
            return jittered(self._settings.poll_s, self._clock)
        async with self._places:
            return await self._held.ask()

    def start_over(self) -> None:
        self._held.start_over()


class PreparedQueryPoll:
    """What a prepared query finds. Consul offers no blocking for them."""

    def __init__(
        self,
        client: ConsulClient,
        upstream: Upstream,
        *,
        turns: asyncio.Semaphore,
        clock: Clock,
        settings: WatchSettings,
        accept: Callable[[tuple[Endpoint, ...]], None],
    ) -> None:
        """*turns*: how many are executed at once, shared by all of this proxy."""
        self.name = f"upstream {upstream.id}"
        self._turns = turns
        self._client = client
        self._upstream = upstream
        self._clock = clock
        self._settings = settings
        self._accept = accept
        self._known: tuple[Endpoint, ...] = ()

    async def ask(self) -> float:
        upstream = self._upstream
        async with self._turns:
            found = await self._client.execute_query(
                upstream.destination_name, datacenter=upstream.datacenter
            )
        # Consul shuffles what its definition gives no order to: the same instances in another
        # order are no change.
        if set(found) != set(self._known):
            self._known = found
        self._accept(self._known)
        return jittered(self._settings.poll_s, self._clock)

    def start_over(self) -> None:
        """Every question stands for itself."""


def jittered(seconds: float, clock: Clock) -> float:
    """*seconds*, a quarter more or less."""
    return seconds * (0.75 + clock.random() / 2)
