"""The processes of one member: started, looked after, exchanged, ended."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from connect_proxy.backends import load_backend
from connect_proxy.errors import ConnectProxyError, ControlError, DataDirectoryError, PassingError
from connect_proxy.managed.assignment import Assignment, beside, with_new_token
from connect_proxy.managed.doors import Doors
from connect_proxy.managed.exchange import DOOR_TIMEOUT_S, Exchange
from connect_proxy.managed.member import Member, Succession
from connect_proxy.managed.predecessor import Predecessor
from connect_proxy.managed.replacement import Replacement, replacement
from connect_proxy.managed.starting import start_in, supervision_of
from connect_proxy.managed.state_file import DataDirectory, PredecessorRecord
from connect_proxy.managed.steering import keep_with_the_first, listeners_on
from connect_proxy.managed.tokens import token_hash
from connect_proxy.plugin_api import BackendTraits
from connect_proxy.supervisor.adopted import AdoptedProcess
from connect_proxy.supervisor.control_socket import ask_at
from connect_proxy.supervisor.machine import RestartPolicy
from connect_proxy.supervisor.states import ENDED_STATES, State
from connect_proxy.supervisor.supervisor import Process, Supervisor

log = logging.getLogger("connect_proxy.managed")

SHARE_ATTEMPTS: Final = 3


class Keeper:
    """Of all members, one at a time."""

    def __init__(
        self,
        directory: DataDirectory | None,
        doors: Doors,
        *,
        write: Callable[[], None],
        on_token: Callable[[], None],
    ) -> None:
        """*write*: put the records on disk; raises DataDirectoryError."""
        self._directory = directory
        self._doors = doors
        self._write = write
        self._on_token = on_token

    def save(self) -> None:
        """What cannot be written now is written with the next change: a full disk must not end the
        supervision of what runs."""
        try:
            self._write()
        except DataDirectoryError as exc:
            log.error("the state is not written down: %s", exc)

    # ------------------------------------------------------------ one process

    def run(self, member: Member, adopted: AdoptedProcess | None = None) -> None:
        """Start it, or go on with what was found again, and look after it."""
        supervision = supervision_of(member.assignment)
        supervisor = Supervisor(
            name=member.assignment.proxy.id,
            start=lambda: self._start(member),
            supervise=lambda _process: supervision,
            policy=lambda _s: RestartPolicy(permanent_exit_codes=supervision.permanent_exit_codes),
            on_state=lambda state: self._note(member, supervisor, state),
            adopted=adopted,
            hindrance=lambda: self._hindrance(member),
        )
        member.supervisor = supervisor
        member.start_error = ""
        member.task = asyncio.get_running_loop().create_task(self._look_after(member, supervisor, adopted))

    def run_again(self, member: Member) -> None:
        """Unless somebody tries to already."""
        if member.task is None or member.task.done():
            self.run(member)

    async def _look_after(
        self, member: Member, supervisor: Supervisor, adopted: AdoptedProcess | None
    ) -> None:
        try:
            await supervisor.run()
        except ConnectProxyError as exc:
            log.error("%s: %s", member.record.id, exc)
            member.start_error = str(exc)
            member.record = dataclasses.replace(member.record, last_error=str(exc))
            self.save()
        finally:
            kept = member.exchange is not None and member.exchange.predecessor.holds(adopted)
            if adopted is not None and not kept:
                adopted.close()

    def _start(self, member: Member) -> Process:
        exchange = member.exchange
        if member.assignment.mints_token and exchange is None:
            member.assignment = with_new_token(member.assignment)
        assignment = dataclasses.replace(member.assignment, ordered_log_level=member.record.log_level)
        if exchange is not None:
            assignment = beside(assignment, exchange.predecessor.record.addresses)
        try:
            return start_in(
                self._directory,
                assignment,
                door=self._doors.path(member.record.id),
                before_exec=lambda pid: self._write_down(member, pid),
            )
        except (OSError, PassingError) as exc:
            member.record = dataclasses.replace(member.record, last_error=str(exc))
            raise PassingError(str(exc)) from exc

    def _write_down(self, member: Member, pid: int) -> None:
        """On disk before the program runs: no proxy that the next agent does not know. Raises
        DataDirectoryError."""
        member.note_start(pid)
        self._write()
        self._on_token()

    def _note(self, member: Member, supervisor: Supervisor, state: State) -> None:
        if member.supervisor is supervisor and (state in ENDED_STATES or state is State.BACKOFF):
            member.note_end()
            if member.exchange is not None:
                member.exchange.newest_ended()
            self.save()

    def _hindrance(self, member: Member) -> str:
        """Why it cannot be started again now; its status says so."""
        if member.assignment.awaits:
            log.warning("%s is not started again yet: %s", member.record.id, member.assignment.awaits)
            member.record = dataclasses.replace(member.record, last_error=member.assignment.awaits)
            self.save()
        return member.assignment.awaits

    async def end(self, member: Member) -> None:
        """End its process, and the one beside it."""
        ends = [self._end_newest(member)]
        if (exchange := member.exchange) is not None:
            await exchange.abandon()
            member.exchange = None
            ends.append(exchange.predecessor.end())
        await asyncio.gather(*ends)
        if member.record.predecessor is not None:
            member.record = dataclasses.replace(member.record, predecessor=None)
            self.save()

    async def _end_newest(self, member: Member, *, now: bool = False) -> None:
        if member.supervisor is not None and member.task is not None and not member.task.done():
            member.supervisor.stop(now=now)
            await asyncio.wait({member.task})

    async def leave(self, member: Member) -> None:
        """The agent ends: nobody looks after it any more, and it runs on."""
        if member.supervisor is not None and (process := member.supervisor.leave()) is not None:
            process.let_go()
        if (exchange := member.exchange) is not None:
            await exchange.abandon()
            await exchange.predecessor.let_go()

    # ------------------------------------------------------------ new before old

    async def relieve(self, member: Member, assignment: Assignment, *, known: bool = True) -> bool:
        """Start a new process with *assignment* beside the one that runs, which ends once the new one is
        ready; whether that can be. *known*: what runs was started with the member's assignment."""
        async with member.changing:
            return await self._relieve(member, assignment, known=known)

    async def _relieve(self, member: Member, assignment: Assignment, *, known: bool) -> bool:
        if (exchange := member.exchange) is not None:
            if exchange.is_handing_over:
                await exchange.over()
            else:
                return await self._relieve_again(member, exchange, assignment)
        supervisor = member.supervisor
        if supervisor is None or supervisor.state is not State.RUNNING or assignment.hindrance:
            return False
        how = self._how(member, member.assignment if known else None, assignment)
        before = await self._shared(member, how) if how.beside else None
        if before is None or supervisor.state is not State.RUNNING or member.exchange is not None:
            return False
        old_task, process = member.task, supervisor.leave()
        assert process is not None
        predecessor = Predecessor(before, process, member.assignment if known else None)
        self.exchange(member, predecessor, assignment)
        if old_task is not None:
            await asyncio.wait({old_task})
        return True

    def exchange(self, member: Member, predecessor: Predecessor, assignment: Assignment) -> None:
        """Start the new one beside *predecessor*."""
        member.exchange = self._exchange_of(member, predecessor)
        member.assignment = assignment
        member.outdated = False
        member.record = dataclasses.replace(
            member.record,
            process=None,
            port=assignment.port,
            backend=assignment.proxy.backend,
            token_accessor=assignment.token_accessor,
            predecessor=predecessor.record,
        )
        keep_with_the_first(predecessor.record.addresses)
        self.run(member)
        member.exchange.begin()

    def go_on(self, member: Member, predecessor: Predecessor) -> None:
        """An agent before this one began the exchange; the new process is there already."""
        member.exchange = self._exchange_of(member, predecessor)
        member.exchange.begin()

    def _exchange_of(self, member: Member, predecessor: Predecessor) -> Exchange:
        return Exchange(
            member,
            predecessor,
            door=self._doors.path(member.record.id) if not member.assignment.proxy.command else None,
            save=self.save,
            start_again=lambda: self.run_again(member),
        )

    async def _relieve_again(self, member: Member, exchange: Succession, assignment: Assignment) -> bool:
        """What was to take over is not ready: something newer takes its place."""
        predecessor = exchange.predecessor
        how = self._how(member, predecessor.assignment, assignment)
        shares = predecessor.record.shares_ports
        if not how.beside or how.shares_ports > shares or predecessor.ended.is_set():
            return False
        await exchange.abandon()
        await self._end_newest(member, now=True)
        self.exchange(member, predecessor, assignment)
        return True

    def _how(self, member: Member, old: Assignment | None, new: Assignment) -> Replacement:
        how = replacement(old, new, _traits(new))
        current = token_hash(member.assignment.access.token) == member.record.token_hash
        if how.beside and new.mints_token and not current:
            return Replacement(beside=False, reason="the old one's token is not known any more")
        if not how.beside:
            log.info("%s: the old process ends before the new one starts: %s", member.record.id, how.reason)
        return how

    async def _shared(self, member: Member, how: Replacement) -> PredecessorRecord | None:
        """What is written down of the old one, once it lets a new one listen beside it; None if not."""
        record = member.record
        if record.process is None:
            return None
        before = PredecessorRecord(
            process=record.process,
            started_at=record.started_at,
            token_accessor=record.token_accessor,
            shares_ports=how.shares_ports,
        )
        if not how.shares_ports:
            return before
        door = self._doors.path(record.id)
        if door is None:
            return None
        try:
            addresses = await asked_to_share(door)
        except ControlError as exc:
            log.info("%s: the old process ends before the new one starts: %s", record.id, exc)
            return None
        counted = {str(address): listeners_on(str(address)) for address in addresses}
        return dataclasses.replace(before, addresses=counted)


async def asked_to_share(door: Path) -> list[str]:
    """Where the process at *door* listens, beside whom others may now. Raises ControlError.

    Asked again where no answer came in time: on a busy host it may be this agent that was late, and the
    other way to go on leaves the service without a proxy for a while.
    """
    for _ in range(SHARE_ATTEMPTS - 1):
        try:
            return list(await ask_at(door, "share-ports", timeout_s=DOOR_TIMEOUT_S))
        except ControlError as exc:
            if not isinstance(exc.__cause__, TimeoutError):
                raise
    return list(await ask_at(door, "share-ports", timeout_s=DOOR_TIMEOUT_S))


def _traits(assignment: Assignment) -> BackendTraits:
    """None of them for a command, or for a backend that cannot be loaded: its start will say why."""
    if assignment.proxy.command:
        return BackendTraits()
    try:
        return load_backend(assignment.proxy.backend).traits()
    except ConnectProxyError as exc:
        log.debug("backend %r: %s", assignment.proxy.backend, exc)
        return BackendTraits()
