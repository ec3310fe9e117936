"""The snapshot watcher: one task a query, their answers gathered into one frozen value after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from connect_proxy.consul.client import ConsulClient
from connect_proxy.consul.clock import Clock, SystemClock
from connect_proxy.mesh.certificates import Roots
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.registration import PREPARED_QUERY, Registration, Upstream
from connect_proxy.snapshot.assembly import Parts, assemble
from connect_proxy.snapshot.broadcast import Broadcast
from connect_proxy.snapshot.intentions_watch import IntentionsQuery
from connect_proxy.snapshot.query_health import QueryHealth
from connect_proxy.snapshot.query_loop import Nudge, Query, QueryLoop
from connect_proxy.snapshot.settings import DEFAULT, WatchSettings
from connect_proxy.snapshot.snapshot import FeedStatus, ProxySnapshot
from connect_proxy.snapshot.token_file import TokenFile
from connect_proxy.snapshot.watches import (
    IndexQuery,
    InstancesQuery,
    LeafQuery,
    PreparedQueryPoll,
    RegistrationQuery,
    leaf_expired,
)

UPSTREAM: Final = "upstream "
"""How the names of the upstreams' queries begin."""


class SnapshotWatcher:
    """Implements :class:`~connect_proxy.snapshot.snapshot.SnapshotFeed` for one proxy.

    Deliveries begin once roots, leaf and intentions are known. A Consul that does not answer stops
    nothing: the last snapshot stays in force and :attr:`status` tells.
    """

    def __init__(
        self,
        client: ConsulClient,
        registration: Registration,
        *,
        token_file: str = "",
        is_registered: bool = True,
        clock: Clock | None = None,
        settings: WatchSettings = DEFAULT,
    ) -> None:
        """*token_file*: by default the one that the client's access names. *is_registered*: False for a
        registration that Consul need not know: it stays as it is."""
        self._client = client
        self._is_registered = is_registered
        self._clock = clock or SystemClock()
        self._settings = settings
        self._parts = Parts(registration=registration)
        self._dirty = asyncio.Event()
        self._roots_known = asyncio.Event()
        self._sufficed = asyncio.Event()
        """Set once roots, leaf and intentions have been known together."""
        self._snapshots: Broadcast[ProxySnapshot] = Broadcast()
        self._changed_at: datetime | None = None
        self._health = QueryHealth(self._clock)
        self._nudge = Nudge(self._clock)
        self._token = TokenFile(token_file or client.access.token_file, client)
        self._loop = QueryLoop(
            clock=self._clock,
            settings=settings,
            health=self._health,
            nudge=self._nudge,
            token=lambda: client.access.token,
            refresh_token=self._refresh_token,
        )
        self._places = asyncio.Semaphore(settings.held_upstreams)
        self._turns = asyncio.Semaphore(settings.asked_upstreams)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def current(self) -> ProxySnapshot | None:
        return self._snapshots.newest

    @property
    def status(self) -> FeedStatus:
        newest = self._snapshots.newest
        status = self._health.status(
            generation=newest.generation if newest else 0, changed_at=self._changed_at
        )
        if newest and newest.leaf.valid_before <= self._clock.now():
            failing = tuple(sorted({*status.failing, LeafQuery.name}))
            status = replace(status, failing=failing, last_error=leaf_expired(newest.leaf))
        return status

    def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        return self._snapshots.subscribe()

    async def run(self) -> None:
        """Watch until cancelled. Readers end with it."""
        self._token.refresh()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish())
                tasks.create_task(self._watch_token())
                if self._is_registered:
                    tasks.create_task(self._loop.run(self._registration_query(tasks)))
                tasks.create_task(self._loop.run(self._roots_query()))
                self._follow(tasks)
        finally:
            self._tasks.clear()
            self._snapshots.end()

    def refresh(self) -> None:
        """Read the token file again if it changed, and ask at once whatever waits to be asked again."""
        self._token.refresh()
        self._nudge.all()

    # ------------------------------------------------------------ which queries

    def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Start and end tasks so that exactly what the registration asks for is watched."""
        wanted = self._wanted()
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
            self._health.forget(key.partition("\n")[0])
        for key in wanted.keys() - self._tasks.keys():
            ask = self._ask_about_upstream if key.startswith(UPSTREAM) else self._loop.run
            self._tasks[key] = tasks.create_task(ask(wanted[key]()))

    def _wanted(self) -> dict[str, Callable[[], Query]]:
        """The query of each task, by its name and what it is asked about."""
        registration = self._parts.registration
        service = registration.destination_service_name
        upstreams = {
            f"{UPSTREAM}{upstream.id}": partial(self._upstream_query, upstream)
            for upstream in registration.upstreams
        }
        return {
            f"{LeafQuery.name}\n{service}": self._leaf_query,
            f"{IntentionsQuery.name}\n{service}": self._intentions_query,
            **upstreams,
        }

    def _registration_query(self, tasks: asyncio.TaskGroup) -> Query:
        def accept(registration: Registration) -> None:
            self._update(self._parts.with_registration(registration))
            self._follow(tasks)

        return RegistrationQuery(
            self._client,
            self._parts.registration,
            clock=self._clock,
            settings=self._settings,
            accept=accept,
            vanished=lambda: self._update(self._parts.unregistered()),
        )

    def _roots_query(self) -> Query:
        def accept(roots: Roots) -> None:
            self._update(self._parts.with_roots(roots))
            self._roots_known.set()

        return IndexQuery("roots", fetch=self._client.roots, accept=accept, settings=self._settings)

    def _leaf_query(self) -> Query:
        return LeafQuery(
            self._client,
            self._parts.registration.destination_service_name,
            clock=self._clock,
            settings=self._settings,
            accept=lambda leaf: self._update(self._parts.with_leaf(leaf)),
        )

    def _intentions_query(self) -> Query:
        return IntentionsQuery(
            self._client,
            self._parts.registration,
            trust_domain=self._trust_domain,
            clock=self._clock,
            settings=self._settings,
            accept=lambda found: self._update(self._parts.with_intentions(found)),
        )

    def _upstream_query(self, upstream: Upstream) -> Query:
        def accept(endpoints: tuple[Endpoint, ...]) -> None:
            self._update(self._parts.with_endpoints(upstream.id, endpoints))

        if upstream.destination_type == PREPARED_QUERY:
            return PreparedQueryPoll(
                self._client,
                upstream,
                turns=self._turns,
                clock=self._clock,
                settings=self._settings,
                accept=accept,
            )
        return InstancesQuery(
            self._client,
            upstream,
            places=self._places,
            turns=self._turns,
            clock=self._clock,
            settings=self._settings,
            accept=accept,
        )

    async def _ask_about_upstream(self, query: Query) -> None:
        """After what everything needs: of hundreds of answers, these would else be among the last."""
        await self._sufficed.wait()
        await self._loop.run(query)

    async def _trust_domain(self) -> str:
        await self._roots_known.wait()
        assert self._parts.roots is not None
        return self._parts.roots.trust_domain

    # ------------------------------------------------------------ what comes out

    def _update(self, parts: Parts) -> None:
        self._parts = parts
        self._dirty.set()
        if parts.suffice:
            self._sufficed.set()

    async def _publish(self) -> None:
        """Deliver what changed, once it has been quiet for a moment.

        The first time after that moment alone: a start does not wait for every upstream's answer.
        """
        await self._sufficed.wait()
        self._dirty.clear()
        await asyncio.sleep(self._settings.quiet_s)
        while True:
            snapshot = assemble(self._parts, previous=self.current)
            if snapshot is not None and snapshot is not self.current:
                self._changed_at = self._clock.now()
                self._snapshots.publish(snapshot)
            await self._dirty.wait()
            await self._settle()

    async def _settle(self) -> None:
        """Come back when nothing has changed for ``quiet_s``, at the latest after ``longest_s``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.longest_s):
                while self._dirty.is_set():
                    self._dirty.clear()
                    await asyncio.sleep(self._settings.quiet_s)
        self._dirty.clear()

    # ------------------------------------------------------------ the token

    def _refresh_token(self) -> bool:
        changed = self._token.refresh()
        if changed:
            self._nudge.all()
        return changed

    async def _watch_token(self) -> None:
        while True:
            await self._clock.sleep(self._settings.token_poll_s)
            self._refresh_token()
