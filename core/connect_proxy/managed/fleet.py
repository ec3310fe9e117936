"""All managed proxies of one agent: wanted against running, started, adopted, stopped, left alone."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from connect_proxy.errors import DataDirectoryError, NotReadyError, UnknownProxyError
from connect_proxy.managed.adoption import end_left, found
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.difference import Difference, difference
from connect_proxy.managed.doors import Doors, doors_of
from connect_proxy.managed.ending import end_process
from connect_proxy.managed.keeper import Keeper
from connect_proxy.managed.member import Member
from connect_proxy.managed.predecessor import Predecessor
from connect_proxy.managed.state_file import DataDirectory, ProxyRecord, Records
from connect_proxy.supervisor.adopted import AdoptedProcess

log = logging.getLogger("connect_proxy.managed")


class Fleet:
    """Keeps running what is wanted. One event loop, no polling."""

    def __init__(
        self,
        directory: DataDirectory | None,
        *,
        doors: Doors | None = None,
        on_token: Callable[[], None] = lambda: None,
    ) -> None:
        """Without a data directory the proxies end with the agent, however it ends. *on_token* is told
        when a record's token hash changed."""
        self._directory = directory
        self._doors = doors or doors_of(directory)
        self._keeper = Keeper(directory, self._doors, write=self._write, on_token=on_token)
        self._members: dict[str, Member] = {}
        self._remembered: dict[str, ProxyRecord] = dict(directory.read()) if directory else {}

    @property
    def members(self) -> Mapping[str, Member]:
        """By proxy id."""
        return self._members

    def record(self, proxy_id: str) -> ProxyRecord | None:
        """What is known of a proxy from before: its port, its token's accessor, its process."""
        member = self._members.get(proxy_id)
        return member.record if member else self._remembered.get(proxy_id)

    def plan(self, wanted: Iterable[Assignment]) -> Difference:
        """What :meth:`apply` would do."""
        running = {name: member.assignment for name, member in self._members.items()}
        outdated = {name for name, member in self._members.items() if member.outdated}
        assignments = {assignment.proxy.id: assignment for assignment in wanted}
        return difference(running, assignments, outdated=outdated)

    async def apply(self, wanted: Iterable[Assignment]) -> Difference:
        """Start, restart and stop until exactly *wanted* runs; what is unchanged is not touched."""
        assignments = {assignment.proxy.id: assignment for assignment in wanted}
        plan = self.plan(assignments.values())
        await asyncio.gather(*(self._remove(name) for name in plan.removed))
        for name in plan.kept:
            self._keep(self._members[name], assignments[name])
        for name in plan.added:
            self._forget(name)
        # At the same time: what an older agent left may have to be drained first.
        await asyncio.gather(*(self._add(assignments[name]) for name in plan.added))
        replaced = (*plan.changed, *(name for name, _why in plan.refused))
        await asyncio.gather(*(self._exchange(assignments[name]) for name in replaced))
        await self._end_forgotten(assignments)
        self._keeper.save()
        return plan

    # ------------------------------------------------------------ what operators ask for

    async def stop(self, proxy_id: str) -> None:
        """Stop it and leave it stopped, over restarts of the agent too. Raises DataDirectoryError where it
        is stopped, but that could not be written down."""
        member = self.known(proxy_id)
        member.record = dataclasses.replace(member.record, held=True)
        self._keeper.save()
        await self._keeper.end(member)
        try:
            self._write()
        except DataDirectoryError as exc:
            message = f"'{proxy_id}' is stopped, but the next agent would start it again: {exc}"
            raise DataDirectoryError(message) from exc

    def start(self, proxy_id: str) -> None:
        """Start what was stopped, or what gave up. Raises RefusedError for what must not be started, or
        not yet: that is started as soon as it can be."""
        member = self.known(proxy_id)
        member.record = dataclasses.replace(member.record, held=False, last_error=member.hindrance)
        self._keeper.save()
        if member.task is None or member.task.done():
            member.is_due = bool(member.assignment.awaits)
            member.check_startable()
            self._keeper.run(member)

    async def restart(self, proxy_id: str) -> None:
        """A new process: beside the old one, if both can be there at once, and back once it serves; else
        after it.

        Raises RefusedError, with nothing done, for what could not start again, and NotReadyError while
        the old one goes on serving since the new one does not.
        """
        member = self.known(proxy_id)
        member.check_startable()
        if await self._keeper.relieve(member, member.assignment):
            exchange = member.exchange  # None: it is over already
            if exchange is not None and (problem := await exchange.verdict()):
                message = f"'{proxy_id}': {problem}"
                raise NotReadyError(message)
            return
        await self._keeper.end(member)
        self.start(proxy_id)

    def order_log_level(self, proxy_id: str, level: str) -> None:
        """Remember it for its starts, over restarts of the agent too; empty: its configuration counts."""
        member = self.known(proxy_id)
        member.record = dataclasses.replace(member.record, log_level=level)
        self._keeper.save()

    def door(self, proxy_id: str) -> Path | None:
        """The control socket of a proxy that runs and has one: not a command."""
        member = self.known(proxy_id)
        running = member.supervisor is not None and member.supervisor.pid is not None
        return self._doors.path(proxy_id) if running and not member.assignment.proxy.command else None

    def doubled(self) -> frozenset[str]:
        """Ids of proxies with two processes at this moment: both write to the same logs."""
        return frozenset(name for name, member in self._members.items() if member.exchange is not None)

    def tokens_of_predecessors(self) -> frozenset[str]:
        """Accessors of the tokens that processes use which are about to leave, or serve on."""
        records = (member.record.predecessor for member in self._members.values())
        return frozenset(record.token_accessor for record in records if record and record.token_accessor)

    def known(self, proxy_id: str) -> Member:
        """The member of that id. Raises UnknownProxyError."""
        try:
            return self._members[proxy_id]
        except KeyError as exc:
            known = ", ".join(sorted(self._members)) or "none"
            message = f"no managed proxy has the id {proxy_id!r}; there are {known}"
            raise UnknownProxyError(message) from exc

    # ------------------------------------------------------------ the agent's own end

    async def leave(self) -> None:
        """End the supervision; the proxies run on and are found again."""
        await asyncio.gather(*(self._keeper.leave(member) for member in self._members.values()))
        await self._settled()
        self._keeper.save()

    async def stop_all(self) -> None:
        """End all proxies."""
        await asyncio.gather(*(self._keeper.end(member) for member in self._members.values()))

    async def _settled(self) -> None:
        tasks = [member.task for member in self._members.values() if member.task]
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ one member

    async def _add(self, assignment: Assignment) -> None:
        proxy = assignment.proxy
        record, adopted, former = await self._left_of(assignment)
        outdated = adopted is not None and record.fingerprint != assignment.fingerprint
        if not outdated:
            record = dataclasses.replace(record, token_accessor=assignment.token_accessor)
        record = dataclasses.replace(record, port=assignment.port, backend=proxy.backend)
        member = Member(assignment=assignment, record=record, outdated=outdated)
        self._members[proxy.id] = member
        self._remembered.pop(proxy.id, None)
        if assignment.refused:
            log.error("%s is not started: %s", proxy.id, assignment.refused)
            member.record = dataclasses.replace(member.record, last_error=assignment.refused)
        elif former is not None and adopted is None:
            self._keeper.exchange(member, former, assignment)
        elif not record.held:
            self._keeper.run(member, adopted)
            if former is not None:
                self._keeper.go_on(member, former)
            elif outdated and not assignment.awaits:
                log.info("%s runs with an older definition", proxy.id)
                await asyncio.sleep(0)  # its supervision begins
                await self._exchange(assignment)

    async def _left_of(
        self, assignment: Assignment
    ) -> tuple[ProxyRecord, AdoptedProcess | None, Predecessor | None]:
        """What is known of it, and which processes of it may run on: not those that must not, nor a new one
        of another definition that was to follow one that is still there."""
        proxy = assignment.proxy
        # It stays remembered until there is a member: whoever cancels this loses no process.
        record = self._remembered.get(proxy.id) or ProxyRecord(
            id=proxy.id,
            service_id=proxy.service_id,
            service_name=proxy.service_name,
            backend=proxy.backend,
        )
        record, adopted, former = found(record, alone=bool(assignment.awaits))
        overtaken = former is not None and record.fingerprint != assignment.fingerprint
        if adopted is not None and (assignment.refused or (overtaken and not assignment.awaits)):
            why = assignment.refused or "it was to take over with an older definition"
            log.info("%s: ending pid %d: %s", proxy.id, adopted.pid, why)
            await end_process(adopted)
            adopted, record = None, dataclasses.replace(record, process=None, started_at=0.0)
        if former is not None and assignment.refused:
            await former.end()
            former, record = None, dataclasses.replace(record, predecessor=None)
        return record, adopted, former

    def _keep(self, member: Member, assignment: Assignment) -> None:
        """It goes on; what hindered its start may be gone."""
        # Restarts that have to wait for a token are made up for: see difference().
        member.outdated |= assignment.fingerprint != member.assignment.fingerprint
        member.assignment = assignment
        member.record = dataclasses.replace(member.record, token_accessor=assignment.token_accessor)
        if assignment.refused:
            member.record = dataclasses.replace(member.record, last_error=assignment.refused)
        elif not assignment.awaits:
            if member.supervisor is not None:
                member.supervisor.retry()
            if member.is_due:
                member.is_due = False
                self._keeper.run(member)

    def _forget(self, proxy_id: str) -> None:
        """Of a member that was refused its record alone stays."""
        if (member := self._members.pop(proxy_id, None)) is not None:
            self._remembered[proxy_id] = member.record

    async def _exchange(self, assignment: Assignment) -> None:
        member = self._members[assignment.proxy.id]
        if await self._keeper.relieve(member, assignment, known=not member.outdated):
            return
        await self._keeper.end(member)
        self._remembered[assignment.proxy.id] = member.record
        del self._members[assignment.proxy.id]
        await self._add(assignment)

    async def _remove(self, proxy_id: str) -> None:
        await self._keeper.end(self._members[proxy_id])
        del self._members[proxy_id]

    async def _end_forgotten(self, wanted: Mapping[str, Assignment]) -> None:
        """Processes of an earlier agent that no definition asks for any more."""

        async def end(name: str) -> None:
            await end_left(self._remembered[name])
            del self._remembered[name]

        await asyncio.gather(*(end(name) for name in self._remembered if name not in wanted))

    # ------------------------------------------------------------ the state

    def _write(self) -> None:
        if self._directory is not None:
            self._directory.write(self._records())

    def _records(self) -> Records:
        return {**self._remembered, **{name: member.record for name, member in self._members.items()}}
