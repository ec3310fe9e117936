"""``/v1/query``: prepared queries."""

from __future__ import annotations

from typing import Any

from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.changes import QUERIES
from connect_proxy.dev_agent.go_bool import FALSE_WORDS, TRUE_WORDS
from connect_proxy.dev_agent.http.blocking import wait_for_change
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.server_query import answered, check_datacenter
from connect_proxy.dev_agent.prepared_queries import BODY, query_json, run_query
from connect_proxy.errors import ApiError


async def queries(call: Call) -> Reply:
    """``GET /v1/query``."""
    check_datacenter(call)
    index = await wait_for_change(call, QUERIES)
    shown = [
        query_json(query) for query in call.state.queries.all() if call.may("read", "query", query.name)
    ]
    return answered(call, shown, index)


async def create(call: Call) -> Reply:
    """``POST /v1/query``."""
    body = call.decoded(BODY)
    call.require("write", "query", body.get("Name", ""))
    return Reply(body={"ID": call.state.queries.create(body)})


async def query(call: Call) -> Reply:
    """``GET /v1/query/:uuid``: a list of one."""
    found = call.state.queries.get(call.path["id"])
    call.require("read", "query", found.name)
    return answered(call, [query_json(found)], found.modify_index)


async def update(call: Call) -> Reply:
    """``PUT /v1/query/:uuid``."""
    body = call.decoded(BODY)
    call.require("write", "query", body.get("Name", ""))
    call.state.queries.update(call.path["id"], body)
    return Reply()


async def delete(call: Call) -> Reply:
    """``DELETE /v1/query/:uuid``."""
    for stored in call.state.queries.all():
        if stored.id == call.path["id"]:
            call.require("write", "query", stored.name)
    call.state.queries.delete(call.path["id"])
    return Reply()


async def execute(call: Call) -> Reply:
    """``GET /v1/query/:uuid-or-name/execute``."""
    connect = _connect(call)
    limit = _limit(call)
    check_datacenter(call)
    found = call.state.queries.resolve(call.path["id"])
    catalog = call.state.catalog
    nodes = [
        wire.health_entry(instance, catalog.node)
        for instance in run_query(found, catalog, connect=connect, limit=limit)
        if call.may("read", "service", instance.service.name)
    ]
    body = {
        "Service": found.service["Service"],
        "Nodes": nodes,
        "DNS": {"TTL": found.ttl},
        "Datacenter": catalog.node.datacenter,
        "Failovers": 0,
    }
    return answered(call, body | _answer_meta(), 1)


async def explain(call: Call) -> Reply:
    """``GET /v1/query/:uuid-or-name/explain``: the query that would run."""
    found = call.state.queries.resolve(call.path["id"])
    call.require("read", "query", found.name)
    return answered(call, {"Query": query_json(found)} | _answer_meta(), 1)


def _answer_meta() -> dict[str, Any]:
    return {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": "leader"}


def _connect(call: Call) -> bool:
    given = call.query.get("connect", "")
    if given not in TRUE_WORDS | FALSE_WORDS | {""}:
        raise ApiError(
            500, f"Error parsing 'connect' value: strconv.ParseBool: parsing \"{given}\": invalid syntax"
        )
    return given in TRUE_WORDS


def _limit(call: Call) -> int:
    given = call.query.get("limit", "")
    if not given:
        return 0
    try:
        return int(given)
    except ValueError as exc:
        raise ApiError(500, f'Bad limit: strconv.Atoi: parsing "{given}": invalid syntax') from exc
