import asyncio

from support.dev_agent_running import running_agent


def test_a_filter_chooses_and_a_wrong_one_is_refused() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register({"Name": "a", "Tags": ["x"]})
            await agent.register({"Name": "b"})
            for path, filter_text, names in [
                ("/v1/agent/services", '"x" in Tags', {"a"}),
                ("/v1/catalog/service/a", "ServiceTags is empty", set()),
                ("/v1/health/service/a", 'Service.Tags contains "x"', {"a"}),
                ("/v1/catalog/nodes", 'Node != "node1"', set()),
                ("/v1/health/state/any", 'CheckID == "serfHealth"', {"serfHealth"}),
            ]:
                shown = await agent.json(path, filter=filter_text)
                assert len(shown) == len(names), path
            answer = await agent.http.get("/v1/agent/services", params={"filter": "bogus"})
            assert answer.status_code == 500
            assert answer.text.startswith("Failed to create boolean expression evaluator: 1:6 (5): ")

    asyncio.run(run())
