"""One proxy of the fleet, and how it is shown."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from connect_proxy.errors import RefusedError
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.state_file import ProxyRecord
from connect_proxy.managed.tokens import token_hash
from connect_proxy.supervisor.identity import identity_of
from connect_proxy.supervisor.states import ENDED_STATES, State
from connect_proxy.supervisor.supervisor import Supervisor

NO_EXPIRIES: Final[Mapping[str, str | None]] = MappingProxyType({})


@dataclass
class Member:
    """One proxy of the fleet and what looks after it."""

    assignment: Assignment
    record: ProxyRecord
    supervisor: Supervisor | None = None
    task: asyncio.Task[None] | None = None
    outdated: bool = False
    """It runs with an older definition, and cannot be started with the new one yet."""
    is_due: bool = False
    """It is to be started as soon as nothing hinders it."""

    @property
    def hindrance(self) -> str:
        """Why it is not to be started now, empty if it may be."""
        return self.assignment.refused or self.assignment.awaits

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
            last_error="",
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
    def state(self) -> str:
        """For people and for ``status -format json``."""
        if self.assignment.refused:
            return "refused"
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
    record, supervisor = member.record, member.supervisor
    return {
        "id": record.id,
        "service": record.service_id,
        "backend": record.backend,
        "state": member.state,
        "pid": supervisor.pid if supervisor else None,
        "port": record.port,
        "uptime_s": round(now - record.started_at, 1) if record.started_at else 0.0,
        "restarts": record.restarts,
        "last_exit": record.last_exit,
        "last_error": record.last_error,
        "certificate_expiry": certificate_expiry,
        "upstreams": [upstream.id for upstream in member.assignment.proxy.upstreams],
    }
