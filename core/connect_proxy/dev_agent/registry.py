"""Registering and deregistering at this agent: services, their sidecars, their checks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from connect_proxy.dev_agent.catalog import Catalog
from connect_proxy.dev_agent.checks.runner import CheckRunner
from connect_proxy.dev_agent.definition import ServiceDefinition
from connect_proxy.dev_agent.records import CheckDefinition, ServiceRecord
from connect_proxy.dev_agent.sidecar import PortRange, derive_sidecar, port_is_free
from connect_proxy.dev_agent.validation import check_service, refuse_check
from connect_proxy.errors import ApiError

_log = logging.getLogger("connect_proxy.dev_agent")


@dataclass(kw_only=True, slots=True)
class Registry:
    """This agent's own registrations."""

    catalog: Catalog
    checks: CheckRunner
    sidecar_ports: PortRange
    is_free: Callable[[int], bool] = port_is_free

    def __post_init__(self) -> None:
        self.checks.deregister_service = self.deregister

    def register(self, definition: ServiceDefinition, *, replace_checks: bool = False) -> None:
        """``PUT /v1/agent/service/register``. All or nothing: refused definitions change nothing."""
        check_service(definition)
        parent = definition.service
        sidecar = None
        if definition.sidecar is not None:
            sidecar = derive_sidecar(
                definition.sidecar,
                parent=parent,
                allocate=lambda sidecar_id: self._allocate(sidecar_id, beside=parent),
            )
        self._put(parent, definition.checks, replace_checks=replace_checks)
        if sidecar is not None:
            self._put(sidecar.service, sidecar.checks, replace_checks=replace_checks)

    def deregister(self, service_id: str) -> None:
        """Remove a service, its checks, and the sidecar that its registration made, if any."""
        doomed = [
            service.id
            for service in self.catalog.local_services().values()
            if service.id == service_id or (service_id and service.is_sidecar_of == service_id)
        ]
        for each in doomed:
            for check in self.catalog.checks_of(each):
                self.checks.remove(check.id)
            self.catalog.remove_service(each)
            _log.info("deregistered service %r", each)

    def register_check(self, definition: CheckDefinition) -> None:
        """``PUT /v1/agent/check/register``."""
        if not definition.name:
            raise ApiError(400, "Missing check name")
        refuse_check(definition, bad_status="Bad check status")
        if definition.service_id and self.catalog.service(definition.service_id) is None:
            raise ApiError(500, f'ServiceID "{definition.service_id}" does not exist')
        self.checks.add(definition.id or definition.name, definition)

    def _put(
        self, service: ServiceRecord, checks: tuple[CheckDefinition, ...], *, replace_checks: bool
    ) -> None:
        self.catalog.put_service(service)
        wanted = {
            check.id or _check_id(service.id, number, len(checks)): replace(
                check, service_id=service.id, name=check.name or f"Service '{service.name}' check"
            )
            for number, check in enumerate(checks, start=1)
        }
        if replace_checks:
            for check in self.catalog.checks_of(service.id):
                if check.id not in wanted:
                    self.checks.remove(check.id)
        for check_id, definition in wanted.items():
            self.checks.add(check_id, definition)
        _log.info("registered service %r", service.id)

    def _allocate(self, sidecar_id: str, *, beside: ServiceRecord) -> int:
        """The port that the same sidecar had before, else the lowest that is free *beside* its parent."""
        old = self.catalog.service(sidecar_id)
        if old is not None and old.port:
            return old.port
        taken = [beside.port, *(service.port for service in self.catalog.local_services().values())]
        return self.sidecar_ports.allocate(taken, is_free=self.is_free)


def _check_id(service_id: str, number: int, count: int) -> str:
    return f"service:{service_id}" + (f":{number}" if count > 1 else "")
