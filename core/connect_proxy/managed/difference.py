"""Wanted against running, as a value: what a reload will do, before it does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.state_file import Records
from connect_proxy.supervisor.identity import lives


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Proxy ids, each tuple sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Their process has to be restarted."""
    kept: tuple[str, ...] = ()
    """Not touched; what changed for them, if anything, they learn from their registration."""

    def lines(self) -> tuple[str, ...]:
        """For people: one line each, none for what is kept."""
        return (
            *(f"+ {name}" for name in self.added),
            *(f"- {name}" for name in self.removed),
            *(f"~ {name} (restart)" for name in self.changed),
        )


def difference(running: Mapping[str, Assignment], wanted: Mapping[str, Assignment]) -> Difference:
    """What has to happen so that *wanted* runs."""
    both = sorted(running.keys() & wanted.keys())
    changed = tuple(name for name in both if _needs_restart(running[name], wanted[name]))
    return Difference(
        added=tuple(sorted(wanted.keys() - running.keys())),
        removed=tuple(sorted(running.keys() - wanted.keys())),
        changed=changed,
        kept=tuple(name for name in both if name not in changed),
    )


def expected(records: Records, wanted: Iterable[Assignment]) -> Difference:
    """What an agent that starts now will do to the processes that an earlier one left."""
    assignments = {assignment.proxy.id: assignment for assignment in wanted}
    alive = {name for name, record in records.items() if record.process and lives(record.process)}
    both = sorted(alive & assignments.keys())
    changed = tuple(name for name in both if records[name].fingerprint != assignments[name].fingerprint)
    return Difference(
        added=tuple(sorted(assignments.keys() - alive)),
        removed=tuple(sorted(alive - assignments.keys())),
        changed=changed,
        kept=tuple(name for name in both if name not in changed),
    )


def _needs_restart(running: Assignment, wanted: Assignment) -> bool:
    return running.fingerprint != wanted.fingerprint or running.refused != wanted.refused
