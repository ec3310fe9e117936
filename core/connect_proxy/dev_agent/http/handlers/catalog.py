"""``/v1/catalog``."""

from __future__ import annotations

from collections.abc import Callable

from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.catalog import Instance
from connect_proxy.dev_agent.changes import NODES, SERVICES, Topic, connect_topic, service_topic
from connect_proxy.dev_agent.http.blocking import wait_for_change
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.filtering import filter_of
from connect_proxy.dev_agent.http.server_query import answered, check_datacenter, wanted_node
from connect_proxy.dev_agent.records import ServiceRecord
from connect_proxy.errors import ApiError


async def datacenters(call: Call) -> Reply:
    return Reply(body=[call.state.catalog.node.datacenter])


async def nodes(call: Call) -> Reply:
    check_datacenter(call)
    index = await wait_for_change(call, NODES)
    shown = [wire.catalog_node(call.state.catalog.node)] if wanted_node(call) else []
    matches = filter_of(call)
    return answered(call, [node for node in shown if matches(node)], index)


async def services(call: Call) -> Reply:
    """``GET /v1/catalog/services``: names and all their tags."""
    check_datacenter(call)
    index = await wait_for_change(call, SERVICES)
    tags: dict[str, set[str]] = {}
    for record in _visible(call) if wanted_node(call) else []:
        tags.setdefault(record.name, set()).update(record.tags)
    return answered(call, {name: sorted(tags[name]) for name in sorted(tags)}, index)


async def service(call: Call) -> Reply:
    """``GET /v1/catalog/service/:name``."""
    return await _instances(call, service_topic, call.state.catalog.instances, tagged=True)


async def connect(call: Call) -> Reply:
    """``GET /v1/catalog/connect/:name``: what answers for the service in the mesh."""
    return await _instances(call, connect_topic, call.state.catalog.connect_instances, tagged=False)


async def node(call: Call) -> Reply:
    """``GET /v1/catalog/node/:name``: a node and its services by id; ``null`` if unknown."""
    index = await _node_index(call)
    if not _is_this_node(call):
        return answered(call, None, index)
    shown = {record.id: wire.catalog_service(record) for record in _visible(call)}
    matches = filter_of(call)
    chosen = {service_id: value for service_id, value in shown.items() if matches(value)}
    return answered(call, {"Node": wire.catalog_node(call.state.catalog.node), "Services": chosen}, index)


async def node_services(call: Call) -> Reply:
    """``GET /v1/catalog/node-services/:name``: the same with the services as a list."""
    index = await _node_index(call)
    if not _is_this_node(call):
        return answered(call, {"Node": None, "Services": None}, index)
    shown = [wire.catalog_service(record) for record in _visible(call)]
    matches = filter_of(call)
    body = {
        "Node": wire.catalog_node(call.state.catalog.node),
        "Services": [value for value in shown if matches(value)],
    }
    return answered(call, body, index)


async def _instances(
    call: Call,
    topic: Callable[[str], Topic],
    find: Callable[[str], list[Instance]],
    *,
    tagged: bool,
) -> Reply:
    name = call.path["name"]
    if not name:
        raise ApiError(400, "Missing service name")
    check_datacenter(call)
    index = await wait_for_change(call, topic(name))
    wanted = {tag.lower() for tag in call.query.getlist("tag")} if tagged else set()
    shown = [
        wire.catalog_entry(instance.service, call.state.catalog.node)
        for instance in find(name)
        if wanted_node(call)
        and call.may("read", "service", instance.service.name)
        and wanted <= {tag.lower() for tag in instance.service.tags}
    ]
    matches = filter_of(call)
    return answered(call, [entry for entry in shown if matches(entry)], index)


async def _node_index(call: Call) -> int:
    if not call.path["name"]:
        raise ApiError(400, "Missing node name")
    check_datacenter(call)
    return await wait_for_change(call, NODES, SERVICES)


def _is_this_node(call: Call) -> bool:
    this = call.state.catalog.node
    return call.path["name"].lower() in {this.name.lower(), this.id.lower()}


def _visible(call: Call) -> list[ServiceRecord]:
    return [record for record in call.state.catalog.services() if call.may("read", "service", record.name)]
