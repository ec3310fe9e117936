"""``/v1/agent/check`` and ``/v1/agent/checks``."""

from __future__ import annotations

from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.decoding import Struct, text
from connect_proxy.dev_agent.definition import CHECK, check_definition
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.filtering import filter_of
from connect_proxy.dev_agent.records import CRITICAL, PASSING, STATUSES, WARNING
from connect_proxy.errors import ApiError

_UPDATE = Struct({"Status": text, "Output": text})


async def checks(call: Call) -> Reply:
    """``GET /v1/agent/checks``: by id."""
    matches = filter_of(call)
    catalog = call.state.catalog
    shown = {
        check_id: wire.agent_check(check, catalog.node)
        for check_id, check in catalog.local_checks().items()
        if _may_see(call, check.service_name)
    }
    return Reply(body={key: value for key, value in shown.items() if matches(value)})


async def register(call: Call) -> Reply:
    """``PUT /v1/agent/check/register``."""
    definition = check_definition(call.decoded(CHECK))
    service = call.state.catalog.service(definition.service_id)
    _require_write(call, "" if service is None else service.name)
    call.state.registry.register_check(definition)
    return Reply()


async def deregister(call: Call) -> Reply:
    """``PUT /v1/agent/check/deregister/:id``: unknown ids are fine."""
    _require_write_of(call, call.path["id"])
    call.state.checks.remove(call.path["id"])
    return Reply()


async def passing(call: Call) -> Reply:
    return _heartbeat(call, PASSING)


async def warning(call: Call) -> Reply:
    return _heartbeat(call, WARNING)


async def critical(call: Call) -> Reply:
    return _heartbeat(call, CRITICAL)


async def update(call: Call) -> Reply:
    """``PUT /v1/agent/check/update/:id``."""
    body = call.decoded(_UPDATE)
    status = body.get("Status", "")
    if status not in STATUSES:
        raise ApiError(400, f"Invalid check status: '{status}'")
    return _heartbeat(call, status, body.get("Output", ""))


def _heartbeat(call: Call, status: str, output: str | None = None) -> Reply:
    _require_write_of(call, call.path["id"])
    note = call.query.get("note", "") if output is None else output
    call.state.checks.heartbeat(call.path["id"], status=status, output=note)
    return Reply()


def _require_write_of(call: Call, check_id: str) -> None:
    check = call.state.catalog.check(check_id)
    if check is not None:
        _require_write(call, check.service_name)


def _require_write(call: Call, service_name: str) -> None:
    if service_name:
        call.require("write", "service", service_name)
    else:
        call.require("write", "node", call.state.catalog.node.name)


def _may_see(call: Call, service_name: str) -> bool:
    if service_name:
        return call.may("read", "service", service_name)
    return call.may("read", "node", call.state.catalog.node.name)
