"""Services, checks and the node: the state behind ``/v1/catalog``, ``/v1/health`` and ``/v1/agent``.

In memory, no I/O. Every write that changes something touches its topics (:mod:`changes`); a write
that changes nothing leaves the index alone, as in Consul.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from connect_proxy.dev_agent.changes import (
    CHECKS,
    NODES,
    SERVICES,
    Changes,
    Topic,
    connect_topic,
    local_topic,
    service_topic,
)
from connect_proxy.dev_agent.records import PASSING, CheckRecord, Node, ServiceRecord

SERF_HEALTH = "serfHealth"
CONSUL_SERVICE = "consul"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One service instance with the checks that count for it: the node's and its own."""

    service: ServiceRecord
    checks: tuple[CheckRecord, ...]


class Catalog:
    """All services and checks of the one node. ``consul`` and ``serfHealth`` are always there."""

    def __init__(self, *, node: Node, changes: Changes, server: ServiceRecord) -> None:
        self._changes = changes
        """*node* has indexes if an agent before this one had it: it keeps those that are not 0."""
        now = changes.bump(NODES, SERVICES, CHECKS, service_topic(CONSUL_SERVICE))
        index = node.create_index or now
        self.node = replace(node, create_index=index, modify_index=node.modify_index or now)
        self._services: dict[str, ServiceRecord] = {}
        self._catalog_only = {server.id: replace(server, create_index=index, modify_index=index)}
        self._checks: dict[str, CheckRecord] = {}
        self._node_checks = {
            SERF_HEALTH: CheckRecord(
                id=SERF_HEALTH,
                name="Serf Health Status",
                status=PASSING,
                output="Agent alive and reachable",
                create_index=index,
                modify_index=index,
            )
        }
        self.on_check_change: Callable[[CheckRecord], None] = lambda check: None

    # ------------------------------------------------------------ this agent's own

    def local_services(self) -> dict[str, ServiceRecord]:
        """What was registered at this agent, by id, in order of ids."""
        return dict(sorted(self._services.items()))

    def local_checks(self) -> dict[str, CheckRecord]:
        return dict(sorted(self._checks.items()))

    def service(self, service_id: str) -> ServiceRecord | None:
        return self._services.get(service_id)

    def check(self, check_id: str) -> CheckRecord | None:
        return self._checks.get(check_id)

    def checks_of(self, service_id: str) -> tuple[CheckRecord, ...]:
        """The checks of one local service, in order of ids."""
        return tuple(check for check in self.local_checks().values() if check.service_id == service_id)

    # ------------------------------------------------------------ the catalog's view

    def services(self) -> list[ServiceRecord]:
        """Every service of the node, the agent's own ``consul`` included, in order of ids."""
        both = self._catalog_only | self._services
        return [both[service_id] for service_id in sorted(both, key=str.lower)]

    def checks(self) -> list[CheckRecord]:
        """Every check, in order of ids."""
        both = self._node_checks | self._checks
        return [both[check_id] for check_id in sorted(both, key=str.lower)]

    def instances(self, name: str) -> list[Instance]:
        """The instances of service *name*."""
        return self._with_checks(service for service in self.services() if service.name == name)

    def connect_instances(self, name: str) -> list[Instance]:
        """What answers for *name* in the mesh: its sidecars, and itself where it is native."""
        return self._with_checks(service for service in self.services() if service.connect_name == name)

    def _with_checks(self, services: Iterable[ServiceRecord]) -> list[Instance]:
        node_checks = [check for check in self.checks() if not check.service_id]
        return [
            Instance(service=service, checks=(*node_checks, *self.checks_of(service.id)))
            for service in services
        ]

    # ------------------------------------------------------------ writes

    def resume(self, services: Iterable[ServiceRecord], checks: Iterable[CheckRecord]) -> None:
        """Take what an agent before this one had, as it was, indexes included."""
        self._services = {service.id: service for service in services}
        self._checks = {check.id: check for check in checks}

    def put_service(self, service: ServiceRecord) -> None:
        """Register *service*, or replace the one of the same id."""
        old = self._services.get(service.id)
        if old is not None:
            unchanged = replace(service, create_index=old.create_index, modify_index=old.modify_index)
            if unchanged == old:
                return
        topics = _topics_of(service) | (_topics_of(old) if old is not None else set())
        index = self._changes.bump(SERVICES, local_topic(service.id), *topics)
        created = index if old is None else old.create_index
        self._services[service.id] = replace(service, create_index=created, modify_index=index)

    def remove_service(self, service_id: str) -> ServiceRecord | None:
        """Forget a service and its checks. None if there is no such service."""
        old = self._services.pop(service_id, None)
        if old is None:
            return None
        for check in self.checks_of(service_id):
            self.remove_check(check.id)
        self._changes.bump(SERVICES, local_topic(service_id), *_topics_of(old))
        return old

    def put_check(self, check: CheckRecord) -> None:
        """Add a check, or replace the one of the same id. An unchanged status costs no index."""
        old = self._checks.get(check.id)
        if old is not None:
            check = replace(check, create_index=old.create_index, modify_index=old.modify_index)
            if replace(check, output=old.output) == old:
                self._checks[check.id] = check
                if check.output != old.output:
                    self.on_check_change(check)
                return
        index = self._changes.bump(*self._check_topics(check))
        created = index if old is None else old.create_index
        self._checks[check.id] = replace(check, create_index=created, modify_index=index)
        self.on_check_change(self._checks[check.id])

    def remove_check(self, check_id: str) -> CheckRecord | None:
        """Forget a check. None if there is none of this id."""
        old = self._checks.pop(check_id, None)
        if old is not None:
            self._changes.bump(*self._check_topics(old))
            self.on_check_change(old)
        return old

    def _check_topics(self, check: CheckRecord) -> set[Topic]:
        """A check of a service concerns that service; a check of the node concerns every service."""
        if check.service_id:
            service = self._services.get(check.service_id)
            concerned = [] if service is None else [service]
            named = {service_topic(check.service_name)} if check.service_name else set()
        else:
            concerned, named = self.services(), {NODES}
        return {CHECKS, *named}.union(*(_topics_of(service) for service in concerned))


def _topics_of(service: ServiceRecord) -> set[Topic]:
    topics = {service_topic(service.name)}
    if service.connect_name:
        topics.add(connect_topic(service.connect_name))
    return topics
