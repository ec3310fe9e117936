import asyncio

import pytest

from support.dev_agent_running import running_agent


def test_a_servers_answer_says_where_it_stands() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            for params, consistency in [
                ({}, "leader"),
                ({"stale": ""}, "stale"),
                ({"consistent": ""}, "leader"),
            ]:
                headers = (await agent.http.get("/v1/catalog/services", params=params)).headers
                assert int(headers["X-Consul-Index"]) >= 1
                assert headers["X-Consul-KnownLeader"] == "true"
                assert headers["X-Consul-LastContact"] == "0"
                assert headers["X-Consul-Effective-Consistency"] == consistency

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/catalog/nodes", "/v1/health/connect/web", "/v1/connect/ca/roots"])
def test_only_its_own_datacenter_is_answered_for(path: str) -> None:
    async def run() -> None:
        async with running_agent() as agent:
            assert (await agent.http.get(path, params={"dc": "DC1"})).status_code == 200
            answer = await agent.http.get(path, params={"dc": "dc9"})
            assert (answer.status_code, answer.text) == (500, "No path to datacenter")

    asyncio.run(run())


@pytest.mark.parametrize(("meta", "count"), [("consul-network-segment:", 1), ("rack:1", 0)])
def test_node_metadata_chooses_nodes(meta: str, count: int) -> None:
    async def run() -> None:
        async with running_agent() as agent:
            for path in ("/v1/catalog/nodes", "/v1/catalog/service/consul", "/v1/health/service/consul"):
                assert len(await agent.json(path, **{"node-meta": meta})) == count

    asyncio.run(run())
