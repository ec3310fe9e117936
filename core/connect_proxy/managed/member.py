"""One proxy of the fleet, and how it is shown."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from connect_proxy.errors import RefusedError
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.predecessor import Predecessor
from connect_proxy.managed.state_file import ProxyRecord
from connect_proxy.managed.tokens import token_hash
from connect_proxy.supervisor.identity import identity_of
from connect_proxy.supervisor.states import ENDED_STATES, State
from connect_proxy.supervisor.supervisor import Supervisor

NO_EXPIRIES: Final[Mapping[str, str | None]] = MappingProxyType({})


class Succession(Protocol):
    """A new process beside the one before it: :class:`connect_proxy.managed.exchange.Exchange`."""

    predecessor: Predecessor
    is_handing_over: bool
    """The new one serves, the old one finishes what it has."""

    def begin(self) -> None:
        """The new one is about to start."""

    def newest_ended(self) -> None:
        """Nobody is led to it any more."""

    async def verdict(self) -> str:
        """Empty once the new one serves; else why it does not, so far."""

    async def over(self) -> None:
        """Until one of the two is left."""

    async def abandon(self) -> None:
        """Look no further; both processes run on."""


@dataclass
class Member:
    """One proxy of the fleet and what looks after it."""

    assignment: Assignment
    record: ProxyRecord
    supervisor: Supervisor | None = None
    task: asyncio.Task[None] | None = None
    exchange: Succession | None = None
    """There are two processes: a new one, and the one before it."""
    start_error: str = ""
    """Why it could not even be started, since it is tried last."""
    outdated: bool = False
    """It runs with an older definition, and cannot be started with the new one yet."""
    changing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """Held while another process is put in the place of the one that runs."""
    is_due: bool = False
    """It is to be started as soon as nothing hinders it."""

    @property
    def hindrance(self) -> str:
        """Why it is not to be started now, empty if it may be."""
        return self.assignment.hindrance

    def check_startable(self) -> None:
        """Raises RefusedError with what hinders a start."""
        if self.hindrance:
            message = f"'{self.record.id}' cannot be started now: {self.hindrance}"
            raise RefusedError(message)

    def note_start(self, pid: int) -> None:
        """It is *pid* now, about to run."""
        self.record = dataclasses.replace(
            self.record,
            process=identity_of(pid),
            fingerprint=self.assignment.fingerprint,
            started_at=time.time(),
            token_hash=token_hash(self.assignment.access.token),
            restarts=self.supervisor.restarts if self.supervisor else 0,
            last_error=self.record.last_error if self.waits_for_the_new else "",
        )

    def note_end(self) -> None:
        """It does not run any more."""
        if self.supervisor is not None:
            self.record = dataclasses.replace(
                self.record,
                process=None,
                started_at=0.0,
                last_exit=self.supervisor.last_status,
                restarts=self.supervisor.restarts,
            )

    @property
    def waits_for_the_new(self) -> bool:
        """Whether the process before the newest one is the one that serves."""
        return self.exchange is not None and not self.exchange.is_handing_over

    @property
    def pids(self) -> tuple[int | None, int | None]:
        """Of the process that serves, and of one beside it: not ready yet, or about to leave."""
        newest = self.supervisor.pid if self.supervisor else None
        if self.exchange is None:
            return newest, None
        pair = (self.exchange.predecessor.pid, newest)
        return pair if self.waits_for_the_new else (newest, self.exchange.predecessor.pid)

    @property
    def state(self) -> str:
        """For people and for ``status -format json``."""
        if self.assignment.refused:
            return "refused"
        if self.waits_for_the_new:
            return State.RUNNING.value
        if self.supervisor is not None and self.supervisor.state not in ENDED_STATES:
            return self.supervisor.state.value
        if self.record.held:
            return "held"
        return self.supervisor.state.value if self.supervisor else State.STOPPED.value


def status_rows(
    members: Mapping[str, Member], *, now: float, expiries: Mapping[str, str | None] = NO_EXPIRIES
) -> list[dict[str, Any]]:
    """``status -format json``: keys are only ever added. *expiries*: of certificates, by proxy id."""
    return [_row(member, now, expiries.get(name)) for name, member in sorted(members.items())]


def _row(member: Member, now: float, certificate_expiry: str | None) -> dict[str, Any]:
    record, (pid, beside) = member.record, member.pids
    started_at = record.started_at
    if member.waits_for_the_new and record.predecessor is not None:
        started_at = record.predecessor.started_at
    return {
        "id": record.id,
        "service": record.service_id,
        "backend": record.backend,
        "state": member.state,
        "pid": pid,
        "port": record.port,
        "uptime_s": round(now - started_at, 1) if started_at else 0.0,
        "restarts": record.restarts,
        "last_exit": record.last_exit,
        "last_error": record.last_error,
        "certificate_expiry": certificate_expiry,
        "upstreams": [upstream.id for upstream in member.assignment.proxy.upstreams],
        "beside": beside,
    }
