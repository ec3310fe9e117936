"""Wanted against running, as a value: what a reload will do, before it does it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.registrations import CHECK_PREFIX, Wanted
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
    refused: tuple[tuple[str, str], ...] = ()
    """They run and must not any more: stopped. Ids, each with the reason."""

    def lines(self) -> tuple[str, ...]:
        """For people: one line each, none for what is kept."""
        return (
            *(f"+ {name}" for name in self.added),
            *(f"- {name}" for name in self.removed),
            *(f"- {name} (refused: {why})" for name, why in self.refused),
            *(f"~ {name} (restart)" for name in self.changed),
        )


def difference(
    running: Mapping[str, Assignment],
    wanted: Mapping[str, Assignment],
    *,
    outdated: Collection[str] = (),
) -> Difference:
    """What has to happen so that *wanted* runs. *outdated*: what runs of them is of an older definition."""
    both = running.keys() & wanted.keys()
    admitted = {name for name in both if running[name].refused and not wanted[name].refused}
    changed = {
        name
        for name in both - admitted
        if (running[name].fingerprint != wanted[name].fingerprint or name in outdated)
        and not (wanted[name].refused or wanted[name].awaits)
    }
    refused = {name for name in both if wanted[name].refused and not running[name].refused}
    return Difference(
        added=tuple(sorted(wanted.keys() - running.keys() | admitted)),
        removed=tuple(sorted(running.keys() - wanted.keys())),
        changed=tuple(sorted(changed)),
        kept=tuple(sorted(both - admitted - changed - refused)),
        refused=tuple((name, wanted[name].refused) for name in sorted(refused)),
    )


def expected(records: Records, wanted: Iterable[Assignment]) -> Difference:
    """What an agent that starts now will do to the processes that an earlier one left."""
    assignments = {assignment.proxy.id: assignment for assignment in wanted}
    alive = {name for name, record in records.items() if record.process and lives(record.process)}
    idle = {name for name, one in assignments.items() if one.refused or is_held(records, name)} - alive
    both = alive & assignments.keys()
    refused = {name for name in both if assignments[name].refused}
    changed = {
        name for name in both - refused if records[name].fingerprint != assignments[name].fingerprint
    }
    return Difference(
        added=tuple(sorted(assignments.keys() - alive - idle)),
        removed=tuple(sorted(alive - assignments.keys())),
        changed=tuple(sorted(changed)),
        kept=tuple(sorted(both - changed - refused)),
        refused=tuple((name, assignments[name].refused) for name in sorted(refused)),
    )


def is_held(records: Records, name: str) -> bool:
    """Whether an operator stopped it."""
    return name in records and records[name].held


def reload_lines(plan: Difference, before: Iterable[Wanted], after: Iterable[Wanted]) -> tuple[str, ...]:
    """For people: what a reload does to processes, then what it changes in Consul without touching one.

    A changed registration is named with its keys, never with their values: they may be secrets.
    """
    told = {*plan.added, *plan.removed, *plan.changed, *(name for name, _why in plan.refused)}
    old, new = ({one.id: one for one in side if one.id not in told} for side in (before, after))
    return (
        *plan.lines(),
        *(f"+ {_named(new[name])}" for name in sorted(new.keys() - old.keys())),
        *(f"- {_named(old[name])}" for name in sorted(old.keys() - new.keys())),
        *(
            f"~ {_named(new[name])} (in place: {', '.join(keys)})"
            for name in sorted(old.keys() & new.keys())
            if (keys := changed_keys(old[name], new[name]))
        ),
    )


def level_lines(before: str, after: str) -> tuple[str, ...]:
    """For people: a changed log level. Proxies that can be told take it while they run."""
    return (f"~ log_level (in place: {before} to {after})",) if before != after else ()


def changed_keys(old: Wanted, new: Wanted) -> tuple[str, ...]:
    """The keys of a registration whose values differ, those of ``Proxy`` and ``Connect`` by their paths."""
    bodies = _differing(old.body, new.body)
    tokens = (old.token, old.sidecar_token) != (new.token, new.sidecar_token)
    return (*bodies, *(("Token",) if tokens else ()))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        left, right = old.get(key), new.get(key)
        if left == right:
            continue
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differing(left, right, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def _named(wanted: Wanted) -> str:
    if wanted.id.startswith(CHECK_PREFIX):
        return f"check {wanted.id.removeprefix(CHECK_PREFIX)}"
    return f"service {wanted.id}" if wanted.id == wanted.service_id else wanted.id
