"""From what the files say to what each proxy is started with: port, token, access, refusal."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Final

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient
from connect_proxy.errors import (
    AgentUnreachableError,
    ConnectProxyError,
    ConsulError,
    DataDirectoryError,
    RefusedError,
)
from connect_proxy.managed.api.agent_api import PublishedProxy
from connect_proxy.managed.assignment import Assignment, inherited
from connect_proxy.managed.definitions.configuration import AgentConfiguration, ManagedProxy
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.launching import words_of
from connect_proxy.managed.made_tokens import MadeTokens
from connect_proxy.managed.options import ManagedAgentOptions
from connect_proxy.managed.ports import PortAllocator
from connect_proxy.managed.registrar import PlacedProxy, Registrar, sidecar_ports
from connect_proxy.managed.state_file import ProxyRecord
from connect_proxy.managed.tokens import ProxyTokens
from connect_proxy.managed.troubles import Troubles
from connect_proxy.managed.wanted import wanted_proxies
from connect_proxy.secret import NO_SECRET, Secret
from connect_proxy.supervisor.identity import lives

log = logging.getLogger("connect_proxy.managed")

ROOT_REFUSAL: Final = (
    "managed proxies are not started as root: run the agent as another user, or set"
    " connect.proxy.allow_managed_root = true"
)
API_REFUSAL: Final = (
    "it was registered by the API, which the files do not allow any more: set"
    " connect.proxy.allow_managed_api_registration = true, or deregister its service"
)

CALLS_AT_ONCE: Final = 8

POLICIES: Final = frozenset({ROOT_REFUSAL, API_REFUSAL})
"""Refusals that the files speak; every other one is Consul's."""


class Assigner:
    """Knows what was given to whom. Decisions about one proxy never fail the others."""

    def __init__(
        self, options: ManagedAgentOptions, client: ConsulClient, fleet: Fleet, registrar: Registrar
    ) -> None:
        self._options = options
        self._fleet = fleet
        self._registrar = registrar
        self.tokens = ProxyTokens(client)
        self.made_tokens = MadeTokens(
            self.tokens, remembered=self._remembered_tokens(), remember=self._remember_tokens
        )
        self._of_predecessors: frozenset[str] = frozenset()
        self._troubles = Troubles()
        self._away: AgentUnreachableError | None = None
        """Why Consul could not be asked for tokens, of the round that is under way."""
        self.api_access = AgentAccess()
        """How custom daemons reach the agent's own API."""
        self.log_level = options.log_level
        """What proxies without an order of an operator are started with."""
        self.withdrawn: set[str] = set()
        """Services that were deregistered on the agent's API: not wanted until the next reload."""
        self.unsettled: set[str] = set()
        """Proxies whose token could not be asked for, since Consul was away: to be assigned again."""

    async def assign(self, configuration: AgentConfiguration, *, dry_run: bool = False) -> list[Assignment]:
        """What is wanted, with everything that running needs. *dry_run*: as after a reload, which forgets
        what was withdrawn, and without tokens, so that none is made. Raises PortsExhaustedError."""
        withdrawn = frozenset[str]() if dry_run else self.withdrawn
        wanted = [proxy for proxy in wanted_proxies(configuration) if proxy.service_id not in withdrawn]
        taken = {service.port for service in configuration.services if service.port}
        ports = PortAllocator(configuration.ports).assign(
            wanted,
            kept={proxy.id: record.port for proxy in wanted if (record := self._fleet.record(proxy.id))},
            given=sidecar_ports(configuration),
            taken=taken | await self._ports_of_others(),
            default_address=configuration.bind_address,
        )
        uid = os.geteuid()
        made = [
            self._assignment(proxy, ports[proxy.id], refusal(proxy, configuration, uid=uid))
            for proxy in wanted
        ]
        if dry_run:
            return [self._as_far_as_known(assignment) for assignment in made]
        self.unsettled.intersection_update(proxy.id for proxy in wanted)
        self._away = None
        gate = asyncio.Semaphore(CALLS_AT_ONCE)

        async def complete(assignment: Assignment) -> Assignment:
            async with gate:
                return await self._with_its_token(assignment)

        try:
            return list(await asyncio.gather(*map(complete, made)))
        finally:
            self.made_tokens.save()

    async def _ports_of_others(self) -> frozenset[int]:
        """Ports of services in Consul that are not ours, which need not listen at this moment."""
        try:
            found = await self._registrar.other_ports()
        except ConsulError as exc:
            self._troubles.tell("ports", f"ports of other services are not known: {exc}")
            return frozenset()
        self._troubles.over("ports", "ports of other services are known again")
        return found

    async def register(self, configuration: AgentConfiguration, assignments: Iterable[Assignment]) -> None:
        """Put services and proxies into Consul; what fails is said there, and tried again."""
        services = tuple(one for one in configuration.services if one.id not in self.withdrawn)
        configuration = dataclasses.replace(configuration, services=services)
        await self._registrar.apply(configuration, placed(assignments))

    async def delete_tokens(self) -> None:
        """Delete the tokens that no proxy of the fleet has any more."""
        members = self._fleet.members.values()
        used = {one.token_accessor for member in members for one in (member.record, member.assignment)}
        self._of_predecessors = self._fleet.tokens_of_predecessors()
        await self.made_tokens.delete_all_but(used | self._of_predecessors)

    @property
    def deleting_is_due(self) -> bool:
        """Whether a token can be deleted that could not be before: its last process may have ended."""
        ended = self._of_predecessors - self._fleet.tokens_of_predecessors()
        return self.made_tokens.is_due or bool(ended)

    def _remembered_tokens(self) -> frozenset[str]:
        """Those of the proxies' records too, which agents before this one wrote alone."""
        directory = self._options.directory
        if directory is None:
            return frozenset()
        return directory.tokens() | {record.token_accessor for record in directory.read().values()}

    def _remember_tokens(self, accessors: frozenset[str]) -> None:
        if self._options.directory is not None:
            try:
                self._options.directory.write_tokens(accessors)
            except DataDirectoryError as exc:
                # A full disk is no reason to start no proxy.
                log.error("which tokens were made is not written down: %s", exc)

    def published(self) -> Iterator[PublishedProxy]:
        """What the API shows, from what runs."""
        for member in self._fleet.members.values():
            yield PublishedProxy(
                proxy=member.assignment.proxy,
                port=member.assignment.port,
                token_hash=member.record.token_hash,
                token_is_local=member.assignment.mints_token,
                command=words_of(member.assignment),
            )

    # ------------------------------------------------------------ one proxy

    def _assignment(self, proxy: ManagedProxy, port: int, refusal: str) -> Assignment:
        access = self.api_access if proxy.command else self._options.access
        return Assignment(
            proxy=proxy,
            port=port,
            access=access,
            log_level=self.log_level,
            environment=inherited(self._options.environment),
            refused=refusal,
        )

    def _as_far_as_known(self, assignment: Assignment) -> Assignment:
        """With what was answered when its token was asked for last: nobody is asked again."""
        member = self._fleet.members.get(assignment.proxy.id)
        if member is None or assignment.refused:
            return assignment
        known = member.assignment
        refused = "" if known.refused in POLICIES else known.refused
        return dataclasses.replace(assignment, refused=refused, awaits=known.awaits)

    async def _with_its_token(self, assignment: Assignment) -> Assignment:
        member = self._fleet.members.get(assignment.proxy.id)
        settled = assignment.proxy.id not in self.unsettled
        if (
            member is not None
            and settled
            and member.assignment.proxy.token == assignment.proxy.token
            and not (member.assignment.refused or member.assignment.awaits)
        ):
            # It has its token already: what runs is not given another one.
            known = member.assignment
            token = known.access.token
            return _with(assignment, token, known.token_accessor, known.mints_token)
        return assignment if assignment.refused else await self._with_token(assignment)

    async def _with_token(self, assignment: Assignment) -> Assignment:
        record = self._fleet.record(assignment.proxy.id)
        try:
            if self._away is not None and not assignment.proxy.token:
                # A Consul that hangs would keep every one of many proxies for a time-out.
                raise self._away
            token = await self.tokens.obtain(
                assignment.proxy, accessor=record.token_accessor if record else ""
            )
        except RefusedError as exc:
            self.unsettled.discard(assignment.proxy.id)
            return self._without_token(assignment, record, exc)
        except ConsulError as exc:
            if isinstance(exc, AgentUnreachableError):
                self._away = exc
            self.unsettled.add(assignment.proxy.id)
            return self._without_token(assignment, record, exc)
        self.unsettled.discard(assignment.proxy.id)
        if token.accessor:
            self.made_tokens.note(token.accessor)
        if token.is_local and not assignment.proxy.command:
            # It asks Consul itself, which knows no tokens: one of ours would only narrow what it may.
            return _with(assignment, NO_SECRET, "", mints=False)
        return _with(assignment, token.secret, token.accessor, token.is_local)

    def _without_token(
        self, assignment: Assignment, record: ProxyRecord | None, error: ConnectProxyError
    ) -> Assignment:
        """Not to be started. What runs has its token, and no reason to be stopped: it is only not started
        again before its token is known."""
        member = self._fleet.members.get(assignment.proxy.id)
        awaited = member is not None and bool(member.assignment.awaits)
        runs = record is not None and record.process is not None and lives(record.process)
        if record is None or not (awaited or runs):
            kept = record.token_accessor if record else ""
            return dataclasses.replace(assignment, refused=str(error), token_accessor=kept)
        away = "Consul does not answer, so " if isinstance(error, AgentUnreachableError) else ""
        awaits = f"{away}its token cannot be read back: {error}"
        if not awaited:
            log.warning("%s runs on, but could not be started again now: %s", record.id, awaits)
        made = _with(assignment, NO_SECRET, record.token_accessor, mints=False)
        return dataclasses.replace(made, awaits=awaits)


def _with(assignment: Assignment, token: Secret, accessor: str, mints: bool) -> Assignment:
    access = dataclasses.replace(assignment.access, token=token, token_file="")
    return dataclasses.replace(assignment, access=access, token_accessor=accessor, mints_token=mints)


def placed(assignments: Iterable[Assignment]) -> list[PlacedProxy]:
    """What of them their registrations need."""
    return [PlacedProxy(proxy=one.proxy, port=one.port) for one in assignments]


def refusal(proxy: ManagedProxy, configuration: AgentConfiguration, *, uid: int) -> str:
    """Why the files forbid to run it, empty if they do not."""
    if uid == 0 and not configuration.allow_managed_root:
        return ROOT_REFUSAL
    if proxy.from_api and not configuration.allow_managed_api_registration:
        return API_REFUSAL
    return ""
