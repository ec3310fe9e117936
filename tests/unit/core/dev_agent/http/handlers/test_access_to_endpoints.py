"""Every endpoint asks for the permission that Consul asks for."""

import asyncio
from typing import Any

import httpx
import pytest

from connect_proxy.dev_agent.http.routes import ENDPOINTS
from support.dev_agent_rules import rules
from support.dev_agent_running import RunningAgent, running_agent

ALL = "service:write:* node:write:* agent:read:* operator:write:* intention:write:* query:write:*"
OPEN_TO_ALL = {
    "/v1/agent/members",
    "/v1/agent/connect/ca/roots",
    "/v1/connect/ca/roots",
    "/v1/catalog/datacenters",
    "/v1/status/leader",
    "/v1/status/peers",
}
"""No permission is needed."""
FILTERED = {
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/agent/health/service/id/{id}",
    "/v1/agent/health/service/name/{name}",
    "/v1/connect/intentions",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/{name}",
    "/v1/catalog/connect/{name}",
    "/v1/catalog/node/{name}",
    "/v1/catalog/node-services/{name}",
    "/v1/health/service/{name}",
    "/v1/health/connect/{name}",
    "/v1/health/checks/{name}",
    "/v1/health/node/{name}",
    "/v1/health/state/{state}",
    "/v1/query",
    "/v1/query/{id}/execute",
}
"""What the token may not see is left out of a list."""
WEB = {
    "Name": "web",
    "Port": 80,
    "Check": {"CheckID": "ttl", "TTL": "60s"},
    "Connect": {"Native": True},
}
URI = "spiffe://x.consul/ns/default/dc/dc1/svc/api"


async def prepared(agent: RunningAgent) -> dict[str, str]:
    """Something of every kind, and the ids that paths need."""
    agent.http.headers["X-Consul-Token"] = "all"
    await agent.register(WEB)
    intention = await agent.http.post(
        "/v1/connect/intentions", json={"SourceName": "*", "DestinationName": "web", "Action": "deny"}
    )
    query = await agent.http.post("/v1/query", json={"Name": "q", "Service": {"Service": "web"}})
    return {"intention": intention.json()["ID"], "query": query.json()["ID"]}


def request_for(method: str, path: str, ids: dict[str, str]) -> dict[str, Any]:
    """A request to an endpoint that would be fine with every permission."""
    kind = path.split("/")[2]
    names = {
        "{id}": ids["query"] if kind == "query" else ids["intention"] if "intentions" in path else "web",
        "{name}": "node1" if "/node" in path else "web",
        "{service}": "web",
        "{state}": "any",
    }
    url = path
    for word, name in names.items():
        url = url.replace(word, "ttl" if "/check/" in path else name)
    params = {"enable": "false", "source": "api", "destination": "web", "by": "destination", "name": "web"}
    bodies: dict[str, Any] = {
        "/v1/agent/service/register": WEB,
        "/v1/agent/check/register": {"Name": "disk", "TTL": "60s"},
        "/v1/agent/check/update/{id}": {"Status": "passing"},
        "/v1/agent/connect/authorize": {"Target": "web", "ClientCertURI": URI},
        "/v1/connect/ca/configuration": {"Provider": "consul", "Config": {}},
        "/v1/query": {"Name": "q2", "Service": {"Service": "web"}},
        "/v1/query/{id}": {"Name": "q", "Service": {"Service": "web"}},
    }
    body = bodies.get(path, {"SourceName": "api", "DestinationName": "web", "Action": "allow"})
    return {"method": method, "url": url, "params": params, "json": None if method == "GET" else body}


def expected(method: str, path: str) -> str:
    if path in OPEN_TO_ALL:
        return "open"
    return "filtered" if method == "GET" and path in FILTERED else "403 Permission denied"


def outcome(method: str, path: str, refused: httpx.Response) -> str:
    """What became of a request whose token may do nothing."""
    if refused.status_code == 403:
        return f"403 {refused.text}"
    if path in OPEN_TO_ALL:
        return "open"
    # A query says which service it asks for, even where it may show none of its instances.
    shown = refused.text.replace('"Service":"web"', "") if path.endswith("/execute") else refused.text
    return "shown" if "web" in shown else "filtered"


def test_without_permission_an_endpoint_refuses_or_shows_nothing() -> None:
    endpoints = [(each.method, each.path) for each in ENDPOINTS if not each.path.startswith("/v1/acl/")]

    async def run() -> None:
        async with running_agent(access=rules(all=ALL, none="")) as agent:
            ids = await prepared(agent)
            agent.http.headers["X-Consul-Token"] = "none"
            found = {
                (method, path): outcome(
                    method, path, await agent.http.request(**request_for(method, path, ids))
                )
                for method, path in endpoints
            }
            assert found == {endpoint: expected(*endpoint) for endpoint in endpoints}

    asyncio.run(run())


def test_with_every_permission_nothing_is_forbidden() -> None:
    async def run() -> None:
        async with running_agent(access=rules(all=ALL)) as agent:
            ids = await prepared(agent)
            for each in ENDPOINTS:
                answer = await agent.http.request(**request_for(each.method, each.path, ids))
                assert answer.status_code != 403, (each.method, each.path)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("granted", "body", "status"),
    [
        ("service:write:web", {"Name": "web"}, 200),
        ("service:read:web", {"Name": "web"}, 403),
        ("service:write:web", {"Name": "web", "Connect": {"SidecarService": {}}}, 403),
        (
            "service:write:web service:write:web-sidecar-proxy",
            {"Name": "web", "Connect": {"SidecarService": {}}},
            200,
        ),
        (
            "service:write:web",
            {"Name": "web", "Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "db"}},
            403,
        ),
        ("service:write:new", {"ID": "old", "Name": "new"}, 403),
    ],
)
def test_registering_needs_every_name_it_touches(granted: str, body: dict[str, Any], status: int) -> None:
    async def run() -> None:
        async with running_agent(access=rules(all=ALL, mine=granted)) as agent:
            agent.http.headers["X-Consul-Token"] = "all"
            await agent.register({"ID": "old", "Name": "old"})
            agent.http.headers["X-Consul-Token"] = "mine"
            answer = await agent.http.put("/v1/agent/service/register", json=body)
            assert answer.status_code == status

    asyncio.run(run())


def test_with_acls_on_the_default_policy_decides_where_no_intention_does() -> None:
    async def run() -> None:
        async with running_agent(access=rules(all=ALL)) as agent:
            agent.http.headers["X-Consul-Token"] = "all"
            answer = await agent.http.post(
                "/v1/agent/connect/authorize", json={"Target": "web", "ClientCertURI": URI}
            )
            assert answer.json() == {
                "Authorized": False,
                "Reason": "Default behavior configured by ACLs",
            }
            checked = await agent.json("/v1/connect/intentions/check", source="api", destination="web")
            assert checked == {"Allowed": False}
            shown = await agent.json("/v1/agent/self")
            assert (shown["DebugConfig"]["ACLsEnabled"], shown["DebugConfig"]["ACLDefaultPolicy"]) == (
                True,
                "deny",
            )

    asyncio.run(run())
