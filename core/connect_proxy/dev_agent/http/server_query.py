"""What every endpoint that asks "the servers" shares: headers and the datacenter."""

from __future__ import annotations

from typing import Any

from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.errors import ApiError


def check_datacenter(call: Call) -> None:
    """Raises ApiError where ``?dc=`` names another datacenter: there is only one."""
    wanted = call.query.get("dc", "")
    if wanted and wanted.lower() != call.state.catalog.node.datacenter.lower():
        raise ApiError(500, "No path to datacenter")


def wanted_node(call: Call) -> bool:
    """Whether the one node has every ``?node-meta=key:value`` that the request names."""
    meta = call.state.catalog.node.meta
    pairs = (pair.partition(":") for pair in call.query.getlist("node-meta"))
    return all(meta.get(key) == value for key, _, value in pairs)


def answered(call: Call, body: Any, index: int, *, shows_consistency: bool = True) -> Reply:
    """*body* with the headers of a server's answer; some endpoints do not say how consistent it is."""
    headers = {
        "X-Consul-Index": str(index),
        "X-Consul-KnownLeader": "true",
        "X-Consul-LastContact": "0",
    }
    if shows_consistency:
        headers["X-Consul-Effective-Consistency"] = "stale" if "stale" in call.query else "leader"
    return Reply(body=body, headers=headers)
