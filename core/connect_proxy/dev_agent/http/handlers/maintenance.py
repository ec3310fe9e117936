"""``/v1/agent/maintenance`` and ``/v1/agent/service/maintenance``: out of service on purpose."""

from __future__ import annotations

from dataclasses import replace

from connect_proxy.dev_agent.go_bool import FALSE_WORDS, TRUE_WORDS
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.records import CRITICAL, CheckRecord
from connect_proxy.errors import ApiError

NODE_CHECK = "_node_maintenance"
SERVICE_CHECK = "_service_maintenance:"
_NODE_REASON = (
    "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
)
_SERVICE_REASON = (
    "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
)


async def node(call: Call) -> Reply:
    """``PUT /v1/agent/maintenance``: a critical check of the node while enabled."""
    enable = _enable(call)
    catalog = call.state.catalog
    call.require("write", "node", catalog.node.name)
    if enable:
        reason = call.query.get("reason") or _NODE_REASON
        catalog.put_check(_check(NODE_CHECK, "Node Maintenance Mode", reason))
    else:
        catalog.remove_check(NODE_CHECK)
    return Reply()


async def service(call: Call) -> Reply:
    """``PUT /v1/agent/service/maintenance/:id``: a critical check of the service while enabled."""
    service_id = call.path["id"]
    if not service_id:
        raise ApiError(400, "Missing service ID")
    enable = _enable(call)
    catalog = call.state.catalog
    record = catalog.service(service_id)
    if record is None:
        raise ApiError(404, f'No service registered with ID "{service_id}"')
    call.require("write", "service", record.name)
    if enable:
        reason = call.query.get("reason") or _SERVICE_REASON
        check = _check(SERVICE_CHECK + service_id, "Service Maintenance Mode", reason)
        catalog.put_check(
            replace(check, service_id=record.id, service_name=record.name, service_tags=record.tags)
        )
    else:
        catalog.remove_check(SERVICE_CHECK + service_id)
    return Reply()


def _enable(call: Call) -> bool:
    if "enable" not in call.query:
        raise ApiError(400, "Missing value for enable")
    given = call.query["enable"]
    if given not in TRUE_WORDS | FALSE_WORDS:
        raise ApiError(400, f'Invalid value for enable: "{given}"')
    return given in TRUE_WORDS


def _check(check_id: str, name: str, reason: str) -> CheckRecord:
    return CheckRecord(id=check_id, name=name, status=CRITICAL, notes=reason, type="maintenance")
