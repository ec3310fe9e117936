"""``/v1/health``."""

from __future__ import annotations

from collections.abc import Callable

from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.catalog import Instance
from connect_proxy.dev_agent.changes import CHECKS, Topic, connect_topic, service_topic
from connect_proxy.dev_agent.go_bool import FALSE_WORDS, TRUE_WORDS
from connect_proxy.dev_agent.http.blocking import wait_for_change
from connect_proxy.dev_agent.http.call import Call, Reply
from connect_proxy.dev_agent.http.filtering import filter_of
from connect_proxy.dev_agent.http.server_query import answered, check_datacenter, wanted_node
from connect_proxy.dev_agent.records import PASSING, CheckRecord
from connect_proxy.errors import ApiError


async def service(call: Call) -> Reply:
    """``GET /v1/health/service/:name``."""
    return await _instances(call, service_topic, call.state.catalog.instances, tagged=True)


async def connect(call: Call) -> Reply:
    """``GET /v1/health/connect/:name``: what answers for the service in the mesh."""
    return await _instances(call, connect_topic, call.state.catalog.connect_instances, tagged=False)


async def checks(call: Call) -> Reply:
    """``GET /v1/health/checks/:name``: the checks of a service."""
    name = call.path["name"]
    if not name:
        raise ApiError(400, "Missing service name")
    return await _checks(call, (service_topic(name),), lambda check: check.service_name == name)


async def node(call: Call) -> Reply:
    """``GET /v1/health/node/:name``: every check on a node."""
    name = call.path["name"]
    if not name:
        raise ApiError(400, "Missing node name")
    this = call.state.catalog.node.name.lower()
    return await _checks(call, (CHECKS,), lambda check: name.lower() == this)


async def state(call: Call) -> Reply:
    """``GET /v1/health/state/:state``: every check in a state, or ``any``."""
    wanted = call.path["state"]
    if not wanted:
        raise ApiError(400, "Missing check state")
    return await _checks(call, (CHECKS,), lambda check: wanted in {"any", check.status})


async def _checks(call: Call, topics: tuple[Topic, ...], is_wanted: Callable[[CheckRecord], bool]) -> Reply:
    check_datacenter(call)
    index = await wait_for_change(call, *topics)
    catalog = call.state.catalog
    shown = [
        wire.catalog_check(check, catalog.node)
        for check in catalog.checks()
        if is_wanted(check) and _may_see(call, check)
    ]
    matches = filter_of(call)
    return answered(call, [check for check in shown if matches(check)], index)


async def _instances(
    call: Call, topic: Callable[[str], Topic], find: Callable[[str], list[Instance]], *, tagged: bool
) -> Reply:
    """``tagged``: whether ``?tag`` is looked at; Consul does not for Connect instances."""
    name = call.path["name"]
    if not name:
        raise ApiError(400, "Missing service name")
    only_passing = _passing(call)
    check_datacenter(call)
    index = await wait_for_change(call, topic(name))
    wanted = {tag.lower() for tag in call.query.getlist("tag")} if tagged else set()
    shown = [
        wire.health_entry(instance, call.state.catalog.node)
        for instance in find(name)
        if wanted_node(call)
        and call.may("read", "service", instance.service.name)
        and wanted <= {tag.lower() for tag in instance.service.tags}
        and (not only_passing or all(check.status == PASSING for check in instance.checks))
    ]
    matches = filter_of(call)
    return answered(call, [entry for entry in shown if matches(entry)], index)


def _passing(call: Call) -> bool:
    """``?passing``: present and empty, or a true word."""
    given = call.query.get("passing")
    if given is None or given in FALSE_WORDS:
        return False
    if given == "" or given in TRUE_WORDS:
        return True
    raise ApiError(400, "Invalid value for ?passing")


def _may_see(call: Call, check: CheckRecord) -> bool:
    if check.service_name:
        return call.may("read", "service", check.service_name)
    return call.may("read", "node", call.state.catalog.node.name)
