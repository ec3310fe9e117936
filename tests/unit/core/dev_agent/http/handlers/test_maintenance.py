import asyncio

import pytest

from support.dev_agent_running import running_agent

NODE = "/v1/agent/maintenance"
SERVICE = "/v1/agent/service/maintenance/web"


@pytest.mark.parametrize("path", [NODE, SERVICE])
def test_what_is_in_maintenance_is_not_passing_until_it_ends(path: str) -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register({"Name": "web"})
            assert len(await agent.json("/v1/health/service/web", passing="")) == 1
            await agent.http.put(path, params={"enable": "true", "reason": "moving house"})
            assert await agent.json("/v1/health/service/web", passing="") == []
            (check,) = (await agent.json("/v1/agent/checks")).values()
            assert (check["Status"], check["Notes"]) == ("critical", "moving house")
            await agent.http.put(path, params={"enable": "false"})
            assert len(await agent.json("/v1/health/service/web", passing="")) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        (NODE, 400, "Missing value for enable"),
        (NODE + "?enable=maybe", 400, 'Invalid value for enable: "maybe"'),
        ("/v1/agent/service/maintenance/?enable=true", 400, "Missing service ID"),
        (SERVICE + "?enable=true", 404, 'No service registered with ID "web"'),
    ],
)
def test_a_mistake_is_refused_in_consuls_words(path: str, status: int, text: str) -> None:
    async def run() -> None:
        async with running_agent() as agent:
            answer = await agent.http.put(path)
            assert (answer.status_code, answer.text) == (status, text)

    asyncio.run(run())
