"""Keeps the checks of this agent running and writes what they find into the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from connect_proxy.dev_agent.catalog import Catalog
from connect_proxy.dev_agent.checks.probes import Result, probe
from connect_proxy.dev_agent.records import (
    CRITICAL,
    PASSING,
    SEVERITY,
    CheckDefinition,
    CheckRecord,
)
from connect_proxy.errors import ApiError

SHORTEST_DEREGISTRATION: Final = 60.0
"""Seconds: Consul raises a smaller ``DeregisterCriticalServiceAfter`` to a minute."""
SHORTEST_INTERVAL: Final = 1.0
"""Seconds: Consul raises a smaller ``Interval`` to this."""
_START_PAUSE: Final = 0.5
"""Seconds between probes right after registration, until the first that passes."""
_log = logging.getLogger("connect_proxy.dev_agent")


@dataclass(kw_only=True, slots=True)
class _Running:
    definition: CheckDefinition
    task: asyncio.Task[None] | None = None
    expiry: asyncio.TimerHandle | None = None
    removal: asyncio.TimerHandle | None = None
    successes: int = 0
    failures: int = 0

    def stop(self) -> None:
        for handle in (self.task, self.expiry, self.removal):
            if handle is not None:
                handle.cancel()


@dataclass(kw_only=True, slots=True)
class CheckRunner:
    """All checks of the local services and of the node."""

    catalog: Catalog
    deregister_service: Callable[[str], None] = lambda service_id: None
    shortest_deregistration: float = SHORTEST_DEREGISTRATION
    shortest_interval: float = SHORTEST_INTERVAL
    _running: dict[str, _Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalog.on_check_change = self._check_changed

    @property
    def timers(self) -> int:
        """How many TTL checks there are."""
        return sum(1 for running in self._running.values() if running.definition.type == "ttl")

    def add(self, check_id: str, definition: CheckDefinition) -> None:
        """Register a check and start it. One of the same id is replaced and keeps its status."""
        service = self.catalog.service(definition.service_id)
        old = self.catalog.check(check_id)
        status = definition.status or (old.status if old is not None else CRITICAL)
        record = CheckRecord(
            id=check_id,
            name=definition.name,
            status=status,
            notes=definition.notes,
            output="" if old is None else old.output,
            service_id=definition.service_id,
            service_name=service.name if service is not None else "",
            service_tags=service.tags if service is not None else (),
            type=definition.type,
        )
        self._forget(check_id)
        running = self._running[check_id] = _Running(definition=definition)
        self.catalog.put_check(record)
        self._start(check_id, running)

    def resume(self, check_id: str, definition: CheckDefinition) -> None:
        """Go on with a check that an agent before this one had, from the status that it had."""
        running = self._running[check_id] = _Running(definition=definition)
        self._start(check_id, running)
        if (check := self.catalog.check(check_id)) is not None:
            self._watch_removal(check_id, check.status)

    def definition(self, check_id: str) -> CheckDefinition | None:
        """What a check does; None for one that does nothing by itself, such as a maintenance mode."""
        running = self._running.get(check_id)
        return None if running is None else running.definition

    def remove(self, check_id: str) -> None:
        """Stop and forget a check. Unknown ids are nothing to remove."""
        self._forget(check_id)
        self.catalog.remove_check(check_id)

    def heartbeat(self, check_id: str, *, status: str, output: str) -> None:
        """A TTL check's owner says how it is (``/v1/agent/check/pass`` and its like)."""
        running = self._running.get(check_id)
        if running is None or running.definition.type != "ttl":
            raise ApiError(500, f'CheckID "{check_id}" does not have associated TTL')
        self._write(check_id, Result(status=status, output=output))
        self._arm_ttl(check_id, running)

    def stop(self) -> None:
        """End every check. For shutdown."""
        for check_id in list(self._running):
            self._forget(check_id)

    def _forget(self, check_id: str) -> None:
        if (running := self._running.pop(check_id, None)) is not None:
            running.stop()

    def _start(self, check_id: str, running: _Running) -> None:
        match running.definition.type:
            case "ttl":
                self._arm_ttl(check_id, running)
            case "alias":
                self._write(check_id, self._alias(running.definition))
            case _:
                running.task = asyncio.create_task(
                    self._probe_for_ever(check_id, running), name=f"check {check_id}"
                )

    def _arm_ttl(self, check_id: str, running: _Running) -> None:
        if running.expiry is not None:
            running.expiry.cancel()
        loop = asyncio.get_running_loop()
        running.expiry = loop.call_later(running.definition.ttl, self._ttl_expired, check_id)

    def _ttl_expired(self, check_id: str) -> None:
        check = self.catalog.check(check_id)
        if check is None:
            return
        before = f" (last output before timeout follows): {check.output}" if check.output else ""
        self._write(check_id, Result(status=CRITICAL, output="TTL expired" + before))

    async def _probe_for_ever(self, check_id: str, running: _Running) -> None:
        """Probe at the check's interval, but often at first: a fresh service is soon seen passing."""
        definition = running.definition
        loop = asyncio.get_running_loop()
        interval = max(definition.interval, self.shortest_interval)
        settled = loop.time() + interval
        while True:
            result = self._damped(check_id, running, await probe(definition))
            if result is not None:
                self._write(check_id, result)
            if result is not None and result.status == PASSING:
                settled = 0.0
            starting = loop.time() < settled
            await asyncio.sleep(min(_START_PAUSE, interval) if starting else interval)

    def _damped(self, check_id: str, running: _Running, result: Result) -> Result | None:
        """*result*, or None while ``SuccessBeforePassing``/``FailuresBeforeCritical`` hold it back."""
        definition = running.definition
        if SEVERITY[result.status] < SEVERITY[CRITICAL]:
            running.successes, running.failures = running.successes + 1, 0
            return result if running.successes > definition.success_before_passing else None
        running.successes, running.failures = 0, running.failures + 1
        return result if running.failures > definition.failures_before_critical else None

    def _write(self, check_id: str, result: Result) -> None:
        check = self.catalog.check(check_id)
        if check is None:
            return
        if check.status != result.status:
            _log.info("check %r is now %s", check_id, result.status)
        self.catalog.put_check(replace(check, status=result.status, output=result.output))
        self._watch_removal(check_id, result.status)

    def _watch_removal(self, check_id: str, status: str) -> None:
        """``DeregisterCriticalServiceAfter``: a service critical for so long is removed."""
        running = self._running.get(check_id)
        if running is None or not running.definition.deregister_after or not running.definition.service_id:
            return
        if status != CRITICAL:
            if running.removal is not None:
                running.removal.cancel()
            running.removal = None
        elif running.removal is None:
            delay = max(running.definition.deregister_after, self.shortest_deregistration)
            loop = asyncio.get_running_loop()
            running.removal = loop.call_later(delay, self._remove_critical, check_id)

    def _remove_critical(self, check_id: str) -> None:
        running = self._running[check_id]
        _log.info("service %r was critical for too long: deregistering", running.definition.service_id)
        self.deregister_service(running.definition.service_id)

    def _check_changed(self, changed: CheckRecord) -> None:
        """Let the aliases of *changed*'s service follow. Node checks count for every alias."""
        for check_id, running in list(self._running.items()):
            definition = running.definition
            if definition.type != "alias" or check_id == changed.id:
                continue
            if changed.service_id in {"", definition.alias_service}:
                self._write(check_id, self._alias(definition))

    def _alias(self, definition: CheckDefinition) -> Result:
        """The worst of the aliased service's checks, and of the node's (but for other aliases)."""
        aliased = [
            check
            for check in self.catalog.local_checks().values()
            if check.type != "alias" and check.service_id in {"", definition.alias_service}
        ]
        if not aliased:
            return Result(status=PASSING, output="No checks found.")
        worst = max(aliased, key=lambda check: SEVERITY[check.status])
        if worst.status == PASSING:
            return Result(status=PASSING, output="All checks passing.")
        output = f'Aliased check "{worst.name}" failing: {worst.output}'
        return Result(status=worst.status, output=output)
