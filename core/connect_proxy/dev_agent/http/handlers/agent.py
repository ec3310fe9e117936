"""``/v1/agent``: the agent itself, its services and their health."""

from __future__ import annotations

from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.changes import local_topic
from connect_proxy.dev_agent.definition import SERVICE_DEFINITION, service_definition
from connect_proxy.dev_agent.http.blocking import wait_for_other
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.filtering import filter_of
from connect_proxy.dev_agent.records import PASSING, WARNING, ServiceRecord, worst
from connect_proxy.errors import ApiError

_HEALTH_CODES = {PASSING: 200, WARNING: 429}
_UNHEALTHY = 503


async def services(call: Call) -> Reply:
    """``GET /v1/agent/services``: by id; ``filter`` chooses."""
    matches = filter_of(call)
    shown = {
        service_id: wire.agent_service(service)
        for service_id, service in call.state.catalog.local_services().items()
        if call.may("read", "service", service.name)
    }
    return Reply(body={key: value for key, value in shown.items() if matches(value)})


async def service(call: Call) -> Reply:
    """``GET /v1/agent/service/:id``: blocks by ``hash``."""
    service_id = call.path["id"]
    _local_service(call, service_id)

    def hash_now() -> str:
        record = call.state.catalog.service(service_id)
        return "" if record is None else wire.agent_service_with_hash(record)["ContentHash"]

    await wait_for_other(call, local_topic(service_id), hash_now)
    shown = wire.agent_service_with_hash(_local_service(call, service_id))
    return Reply(body=shown, headers={"X-Consul-ContentHash": shown["ContentHash"]})


async def register(call: Call) -> Reply:
    """``PUT /v1/agent/service/register``."""
    definition = service_definition(call.decoded(SERVICE_DEFINITION))
    _require_writes(call, definition.service)
    if definition.sidecar is not None:
        sidecar_name = definition.sidecar.service.name or f"{definition.service.name}-sidecar-proxy"
        call.require("write", "service", sidecar_name)
    call.state.registry.register(definition, replace_checks=call.flag("replace-existing-checks"))
    return Reply()


async def deregister(call: Call) -> Reply:
    """``PUT /v1/agent/service/deregister/:id``: unknown ids are fine."""
    service_id = call.path["id"]
    if not service_id:
        raise ApiError(500, "ServiceID missing")
    record = call.state.catalog.service(service_id)
    if record is not None:
        call.require("write", "service", record.name)
    call.state.registry.deregister(service_id)
    return Reply()


async def health_by_id(call: Call) -> Reply:
    """``GET /v1/agent/health/service/id/:id``."""
    record = call.state.catalog.service(call.path["id"])
    if record is None or not call.may("read", "service", record.name):
        reason = f"ServiceId {call.path['id']} not found"
        body = {"AggregatedStatus": "critical", "Service": None, "Checks": None}
        return _health_reply(call, "critical", body, status=404, reason=reason)
    shown = _service_health(call, record)
    status = str(shown["AggregatedStatus"])
    return _health_reply(call, status, shown)


async def health_by_name(call: Call) -> Reply:
    """``GET /v1/agent/health/service/name/:name``: the worst of its local instances."""
    name = call.path["name"]
    found = [
        record
        for record in call.state.catalog.local_services().values()
        if record.name == name and call.may("read", "service", name)
    ]
    if not found:
        return _health_reply(call, "critical", [], status=404, reason=f"ServiceName {name} Not Found")
    shown = [_service_health(call, record) for record in found]
    statuses = [entry["AggregatedStatus"] for entry in shown]
    order = [PASSING, WARNING, "critical"]
    return _health_reply(call, max(statuses, key=order.index), shown)


def _service_health(call: Call, record: ServiceRecord) -> wire.Json:
    catalog = call.state.catalog
    node_checks = tuple(check for check in catalog.local_checks().values() if not check.service_id)
    checks = (*node_checks, *catalog.checks_of(record.id))
    return {
        "AggregatedStatus": worst(checks),
        "Service": wire.agent_service(record),
        "Checks": [wire.agent_check(check, catalog.node) for check in checks],
    }


def _health_reply(call: Call, aggregated: str, body: object, *, status: int = 0, reason: str = "") -> Reply:
    code = status or _HEALTH_CODES.get(aggregated, _UNHEALTHY)
    headers = {"X-Consul-Reason": reason or aggregated}
    if call.query.get("format") == "text" or call.headers.get("accept", "").startswith("text/plain"):
        return Reply(text=reason or aggregated, status=code, headers=headers)
    return Reply(body=body, status=code, headers=headers)


def _local_service(call: Call, service_id: str) -> ServiceRecord:
    record = call.state.catalog.service(service_id)
    if record is None:
        raise ApiError(404, f"unknown service ID: {service_id}")
    call.require("read", "service", record.name)
    return record


def _require_writes(call: Call, record: ServiceRecord) -> None:
    """Writing needs the name registered, the name replaced, and the name stood for."""
    call.require("write", "service", record.name)
    if (old := call.state.catalog.service(record.id)) is not None:
        call.require("write", "service", old.name)
    if record.proxy.destination_service_name:
        call.require("write", "service", record.proxy.destination_service_name)
