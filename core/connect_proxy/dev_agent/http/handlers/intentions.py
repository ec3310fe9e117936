"""``/v1/connect/intentions``."""

from __future__ import annotations

from typing import Any

from connect_proxy.dev_agent.changes import INTENTIONS
from connect_proxy.dev_agent.decoding import DecodeError, Struct, decode_body
from connect_proxy.dev_agent.http.blocking import wait_for_change
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.server_query import answered, check_datacenter
from connect_proxy.dev_agent.intentions import BODY, EXACT_BODY, StoredIntention, intention_json
from connect_proxy.errors import ApiError
from connect_proxy.mesh.intentions import ANY


async def intentions(call: Call) -> Reply:
    """``GET /v1/connect/intentions``: all that the token may see, by precedence."""
    check_datacenter(call)
    index = await wait_for_change(call, INTENTIONS)
    shown = [
        intention_json(stored)
        for stored in call.state.intentions.all()
        if call.may("read", "intention", stored.rule.destination_name)
    ]
    return answered(call, shown, index, shows_consistency=False)


async def create(call: Call) -> Reply:
    """``POST /v1/connect/intentions``."""
    body = _body(call)
    call.require("write", "intention", body.get("DestinationName", ""))
    return Reply(body={"ID": call.state.intentions.create(body)})


async def intention(call: Call) -> Reply:
    """``GET /v1/connect/intentions/:id``."""
    stored = call.state.intentions.get(call.path["id"])
    call.require("read", "intention", stored.rule.destination_name)
    return Reply(body=intention_json(stored))


async def update(call: Call) -> Reply:
    """``PUT /v1/connect/intentions/:id``."""
    body = call.decoded(BODY, prefix="Bad request: Request decode failed: ")
    call.require("write", "intention", body.get("DestinationName", ""))
    return Reply(body={"ID": call.state.intentions.update(call.path["id"], body)})


async def delete(call: Call) -> Reply:
    """``DELETE /v1/connect/intentions/:id``."""
    for stored in call.state.intentions.all():
        if stored.rule.id == call.path["id"]:
            call.require("write", "intention", stored.rule.destination_name)
    call.state.intentions.delete(call.path["id"])
    return Reply(body=True)


async def match(call: Call) -> Reply:
    """``GET /v1/connect/intentions/match``: per name, the rules that cover it, in the order tried."""
    by = call.query.get("by")
    if by is None:
        raise ApiError(500, "required query parameter 'by' not set")
    if by not in {"source", "destination"}:
        raise ApiError(500, "'by' parameter must be one of 'source' or 'destination'")
    names = call.query.getlist("name")
    if not names:
        raise ApiError(500, "required query parameter 'name' not set")
    pairs = {name: _pair("name", name) for name in names}
    for _, service in pairs.values():
        call.require("read", "intention", service)
    found = {
        name: call.state.intentions.match(by=by, namespace=namespace, name=service)
        for name, (namespace, service) in pairs.items()
    }
    return Reply(
        body={name: [intention_json(one) for one in rules] or None for name, rules in found.items()}
    )


async def check(call: Call) -> Reply:
    """``GET /v1/connect/intentions/check``."""
    for required in ("source", "destination"):
        if required not in call.query:
            raise ApiError(500, f"required query parameter '{required}' not set")
    source = _pair("source", call.query["source"])
    destination = _pair("destination", call.query["destination"])
    source_type = call.query.get("source-type", "consul")
    if source_type != "consul":
        raise ApiError(500, f'unsupported SourceType: "{source_type}"')
    call.require("read", "service", destination[1])
    decided = call.state.intentions.decide(source=source, destination=destination)
    allowed = call.state.access.default_allow if decided is None else decided.rule.allow
    return Reply(body={"Allowed": allowed})


async def exact(call: Call) -> Reply:
    """``GET|PUT|DELETE /v1/connect/intentions/exact``: by names instead of an id (Consul 1.9)."""
    for required in ("source", "destination"):
        if not call.query.get(required):
            raise ApiError(400, f"Bad request: required query parameter '{required}' not set")
    source = _pair("source", call.query["source"])
    destination = _pair("destination", call.query["destination"])
    stored = call.state.intentions.find(source, destination)
    permission = "read" if call.method == "GET" else "write"
    call.require(permission, "intention", destination[1])
    if call.method == "GET":
        return _exact_get(stored)
    if call.method == "DELETE":
        if stored is not None:
            call.state.intentions.delete(stored.rule.id)
        return Reply(body=True)
    names = dict(
        zip(
            ("SourceNS", "SourceName", "DestinationNS", "DestinationName"),
            source + destination,
            strict=True,
        )
    )
    body = {**_body(call, EXACT_BODY), **names, "ID": ""}
    if stored is None:
        call.state.intentions.create(body)
    else:
        call.state.intentions.update(stored.rule.id, body)
    return Reply(body=True)


def _exact_get(stored: StoredIntention | None) -> Reply:
    if stored is None:
        raise ApiError(404, "Intention not found")
    return Reply(body=intention_json(stored))


def _body(call: Call, struct: Struct = BODY) -> dict[str, Any]:
    try:
        return decode_body(call.body, struct)
    except DecodeError as exc:
        raise ApiError(500, f"Failed to decode request body: {exc}") from exc


def _pair(what: str, text: str) -> tuple[str, str]:
    """(namespace, name) from ``[namespace/]name``."""
    parts = text.split("/")
    if len(parts) > 2:
        raise ApiError(500, f"{what} \"{text}\" is invalid: input can contain at most one '/'")
    if len(parts) == 1:
        return "default", parts[0] or ANY
    return parts[0], parts[1]
