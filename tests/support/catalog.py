"""A real agent brings what it is told into the catalog a moment later; a test has to wait for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from support.consul_api import ConsulApi
from support.processes import wait_until

OF_THE_SERVER = frozenset({"consul", "serfHealth"})
"""What a server registers by itself."""


def wait_for_catalog(api: ConsulApi) -> None:
    """Until the catalog has the agent's services and checks as they are, and no others."""
    node = api.get("/v1/agent/self").json["Config"]["NodeName"]
    wait_until(lambda: _agent_side(api) == _catalog_side(api, node), "registrations in the catalog")


def _agent_side(api: ConsulApi) -> tuple[dict[str, Any], dict[str, Any]]:
    services, checks = api.get("/v1/agent/services").json, api.get("/v1/agent/checks").json
    return _services(services), _checks(checks.values())


def _catalog_side(api: ConsulApi, node: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = api.get(f"/v1/catalog/node/{node}").json
    checks = api.get(f"/v1/health/node/{node}").json
    return _services(found["Services"]), _checks(checks)


def _services(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = ("Service", "Port", "Address", "Tags", "Meta", "Weights", "Proxy", "Connect")
    return {
        service_id: _filled({name: service.get(name) for name in names})
        for service_id, service in found.items()
        if service_id not in OF_THE_SERVER
    }


def _filled(value: Any) -> Any:
    """Without what is empty: the two sides leave out different things."""
    if not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [_filled(each) for each in value]
    filled = {name: _filled(each) for name, each in value.items()}
    return {name: each for name, each in filled.items() if each not in ("", None, {}, [])}


def _checks(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Without the output: Consul brings that over minutes later."""
    return {
        check["CheckID"]: (check["Name"], check["Status"], check["Notes"], check["ServiceID"])
        for check in found
        if check["CheckID"] not in OF_THE_SERVER
    }
