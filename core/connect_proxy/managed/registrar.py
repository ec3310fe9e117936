"""Keeps in Consul what the files say: registers, deregisters, puts back what was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from connect_proxy.consul.answers import says_unknown
from connect_proxy.consul.blocking_query import Backoff
from connect_proxy.consul.client import ConsulClient
from connect_proxy.consul.clock import Clock, SystemClock
from connect_proxy.errors import AgentUnreachableError, ConsulError, NoLeaderError
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.registrations import (
    CHECK_PREFIX,
    PlacedProxy,
    Wanted,
    leaving,
    sidecar_ports,
    wanted_registrations,
)
from connect_proxy.managed.troubles import Troubles
from connect_proxy.mesh.registration import Registration

__all__ = ["PlacedProxy", "Registrar", "sidecar_ports"]

log = logging.getLogger("connect_proxy.managed")

COMPARISON_S: Final = 10.0
"""Between two looks. One request for all: a blocking query for every registration of a host would use
up the connections that Consul grants a client (limits.http_max_conns_per_client, 200)."""
CALLS_AT_ONCE: Final = 8
AWAY: Final = Backoff(quick_s=0.2, first_s=1.0, ceiling_s=5.0)
AWAY_KEY: Final = ""
"""Of the troubles: Consul's own, whatever service it was about to be told of."""


class Registrar:
    """One agent's registrations. Its calls may come at any time; they take turns."""

    def __init__(
        self,
        client: ConsulClient,
        *,
        remembered: Iterable[str] = (),
        remember: Callable[[frozenset[str]], None] = lambda _ids: None,
        on_withdrawn: Callable[[str], None] = lambda _service_id: None,
        on_recovered: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        """*remembered*: ids that an earlier run registered; what the first :meth:`apply` does not want
        of them is deregistered. *remember* is told all ids before the first is registered and after
        the last was deregistered, to put them on disk. *on_withdrawn* is told the id of a service
        that was deregistered on the agent's own API: its proxy is to be drained and stopped.
        *on_recovered* is told when a Consul that was away is back, with everything registered again:
        what else it was asked for in vain, tokens above all, can be had now."""
        self._client = client
        self._remember = remember
        self._on_withdrawn = on_withdrawn
        self._on_recovered = on_recovered
        self._clock = clock or SystemClock()
        self._turn = asyncio.Lock()
        self._registered = frozenset(remembered)
        """Ids that may be in Consul through us."""
        self._wanted: Mapping[str, Wanted] = {}
        self._sent: dict[str, Wanted] = {}
        """What Consul accepted last, by id."""
        self._seen: dict[str, Registration | None] = {}
        """How Consul showed it then, by id, its own defaults included; None for a check."""
        self._failures: dict[str, ConsulError] = {}
        self._troubles = Troubles()
        self._away: AgentUnreachableError | None = None
        """Why Consul could not be asked, of the round of registrations that is under way."""
        self._under_way: dict[str, Mapping[str, Any]] = {}
        """Bodies that are being sent at this moment, by id."""

    @property
    def failures(self) -> Mapping[str, ConsulError]:
        """What could not be registered, by the id of its service; empty when all is well."""
        return dict(self._failures)

    @property
    def wanted(self) -> Mapping[str, Wanted]:
        """What Consul is to have, by id; replaced as a whole."""
        return self._wanted

    def has(self, service_id: str) -> bool:
        """Whether it is a service that is kept here."""
        found = self._wanted.get(service_id)
        return found is not None and found.service_id == service_id

    def is_sending(self, service_id: str, body: Mapping[str, Any]) -> bool:
        """Whether that request is our own: before an embedded agent they come by the API, too."""
        return self._under_way.get(service_id) == body

    def owner_of(self, registration_id: str) -> str:
        """The id of the service that this proxy belongs to; empty if it is no proxy of ours."""
        for wanted in self._wanted.values():
            if registration_id in wanted.ids and registration_id != wanted.service_id:
                return wanted.service_id
        return ""

    async def apply(
        self, configuration: AgentConfiguration, proxies: Sequence[PlacedProxy]
    ) -> Mapping[str, ConsulError]:
        """Register what is wanted and changed; deregister what was registered and is not wanted any more,
        the proxy first, then its service.

        Managed proxies are those of *proxies*; a sidecar that Consul itself expands comes with its
        service, on the port that *proxies* has for it. What failed, by service id (:meth:`keep` goes
        on trying). Raises ConfigurationError for a wrong ``local_service_address``, with nothing done.
        """
        wanted = {one.id: one for one in wanted_registrations(configuration, proxies)}
        async with self._turn:
            self._wanted = wanted
            names = frozenset(name for one in wanted.values() for name in one.ids)
            self._note(self._registered | names)
            self._failures.clear()
            await self._deregister(self._registered - names)
            await self._register([one for one in wanted.values() if self._sent.get(one.id) != one])
            return dict(self._failures)

    async def keep(self) -> None:
        """Run for ever: put back what Consul lost or other hands changed, at the latest after 10 s of
        its being there. While Consul is away, ask again with back-off up to 5 s."""
        # What could not be registered because Consul was away is tried again soon.
        backoff = AWAY.failed() if self._is_away else AWAY
        while True:
            await self._clock.sleep(backoff.delay_s(self._clock.random()) or COMPARISON_S)
            try:
                await self.restore()
            except ConsulError as exc:
                if not backoff.failures:
                    log.warning("registrations cannot be compared with Consul's: %s", exc)
                backoff = backoff.failed()
                continue
            if self._is_away:
                backoff = backoff.failed()
            elif backoff.failures:
                backoff = backoff.reset()
                self._on_recovered()

    async def restore(self) -> frozenset[str]:
        """Compare once; the ids that were put back. Raises ConsulError if Consul cannot be asked."""
        async with self._turn:
            found = await self._found()
            missing = [one for one in self._wanted.values() if not self._is_kept(one, found)]
            for name in {name for one in self._wanted.values() for name in one.shown} & found.keys():
                self._seen.setdefault(name, found[name])
            if missing:
                log.info(
                    "registered again, since Consul lacked them or had others"
                    " (if that goes on, another agent defines them too): %s",
                    [one.id for one in missing],
                )
                for one in missing:
                    self._failures.pop(one.service_id, None)
                await self._register(missing)
            await self._deregister(self._registered - self._wanted_ids())
            return frozenset(one.id for one in missing)

    async def withdraw(self, service_id: str) -> None:
        """Somebody deregistered this service on the agent's own API: its proxy goes too, neither is put
        back until the next :meth:`apply`, and who was named at the start is told."""
        async with self._turn:
            leaving = {
                name for one in self._wanted.values() if one.service_id == service_id for name in one.ids
            }
            self._wanted = {key: one for key, one in self._wanted.items() if one.service_id != service_id}
            self._failures.pop(service_id, None)
            await self._deregister(frozenset(leaving))
        if leaving:
            self._on_withdrawn(service_id)

    async def other_ports(self) -> frozenset[int]:
        """Ports of local services that are not registered from here. Raises ConsulError."""
        found = await self._client.services()
        return frozenset(
            service.port for name, service in found.items() if name not in self._registered and service.port
        )

    @property
    def _is_away(self) -> bool:
        """Whether Consul answered nobody, or has no leader to write to, when it was last told."""
        return any(
            isinstance(error, AgentUnreachableError | NoLeaderError) for error in self._failures.values()
        )

    def _wanted_ids(self) -> frozenset[str]:
        return frozenset(name for one in self._wanted.values() for name in one.ids)

    async def _found(self) -> dict[str, Registration | None]:
        """What Consul has: services by id, checks by their id with the prefix."""
        services: dict[str, Registration | None] = dict(await self._client.services())
        if any(one.check for one in self._wanted.values()):
            checks = await self._client.check_ids()
            services.update(dict.fromkeys(f"{CHECK_PREFIX}{name}" for name in checks))
        return services

    def _is_kept(self, wanted: Wanted, found: Mapping[str, Registration | None]) -> bool:
        """Whether Consul has it as we left it. What it never showed is not missed: the agent's token may
        register it, but not read it."""
        if self._sent.get(wanted.id) != wanted:
            return False
        expected = {name: self._seen[name] for name in wanted.shown if name in self._seen}
        return all(name in found and found[name] == shown for name, shown in expected.items())

    async def _register(self, wanted: Sequence[Wanted]) -> None:
        """Each service, then what belongs to it, services at the same time; then checks of none."""
        gate = asyncio.Semaphore(CALLS_AT_ONCE)
        self._away = None
        for are_checks in (False, True):
            groups: dict[str, list[Wanted]] = {}
            for one in wanted:
                if one.id.startswith(CHECK_PREFIX) is are_checks:
                    groups.setdefault(one.service_id, []).append(one)
            async with asyncio.TaskGroup() as tasks:
                for service_id, members in groups.items():
                    tasks.create_task(self._register_group(service_id, members, gate))
        await self._look([name for one in wanted for name in one.shown if self._sent.get(one.id) == one])

    async def _register_group(
        self, service_id: str, members: Sequence[Wanted], gate: asyncio.Semaphore
    ) -> None:
        for one in members:
            self._sent.pop(one.id, None)
        async with gate:
            try:
                if self._away is not None:
                    # A Consul that hangs would keep every one of many services for a time-out.
                    raise self._away
                for one in members:
                    if one.id.startswith(CHECK_PREFIX):
                        await self._client.register_check(one.body, token=one.token)
                    else:
                        self._under_way[one.id] = one.request()
                        await self._client.register_service(self._under_way[one.id], token=one.token)
                    self._sent[one.id] = one
            except AgentUnreachableError as exc:
                self._away = exc
                self._failures[service_id] = exc
                self._troubles.tell(AWAY_KEY, f"services are not registered yet: {exc}")
            except ConsulError as exc:
                self._failures[service_id] = exc
                self._troubles.tell(service_id, f"the service '{service_id}' is not registered: {exc}")
            else:
                self._troubles.over(AWAY_KEY, "Consul can be told of services again")
                self._troubles.over(service_id, f"the service '{service_id}' is registered")
            finally:
                for one in members:
                    self._under_way.pop(one.id, None)

    async def _look(self, names: Sequence[str]) -> None:
        """Remember how Consul shows what was just registered."""
        if not names:
            return
        try:
            found = await self._found()
        except ConsulError as exc:
            log.warning("what was registered cannot be read back: %s", exc)
            found = {}
        for name in names:
            if name in found:
                self._seen[name] = found[name]
            else:
                self._seen.pop(name, None)

    async def _deregister(self, names: frozenset[str]) -> None:
        """Proxies and checks before services; what is not there any more is no error."""
        gone = set()
        for name in sorted(names, key=leaving):
            self._sent.pop(name, None)
            self._seen.pop(name, None)
            try:
                if name.startswith(CHECK_PREFIX):
                    await self._client.deregister_check(name.removeprefix(CHECK_PREFIX))
                else:
                    await self._client.deregister_service(name)
            except ConsulError as exc:
                if not says_unknown(exc):
                    self._troubles.tell(f"-{name}", f"'{name}' is not deregistered yet: {exc}")
                    if isinstance(exc, AgentUnreachableError):
                        break
                    continue
            self._troubles.over(f"-{name}", f"'{name}' is deregistered")
            gone.add(name)
        if gone:
            self._note(self._registered - gone)

    def _note(self, registered: frozenset[str]) -> None:
        if registered != self._registered:
            self._registered = registered
            self._remember(registered)
