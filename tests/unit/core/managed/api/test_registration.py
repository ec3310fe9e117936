import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.secret import Secret
from support.agent_api_running import RunningApi, published, running_api
from support.dev_agent_running import RunningAgent, running_agent
from support.managed_definitions import managed_proxy, managed_service
from support.scripted_agent import Reply, ScriptedAgent

REGISTER = "/v1/agent/service/register"
MANAGED = {
    "ID": "web1",
    "Name": "web",
    "Tags": None,
    "Port": 8080,
    "Connect": {
        "Native": False,
        "Proxy": {
            "ExecMode": "daemon",
            "Command": ["/usr/bin/my-proxy", "-flag"],
            "Config": {"handshake_timeout_ms": 1000},
            "Upstreams": [{"DestinationName": "redis", "LocalBindPort": 1234}],
        },
        "SidecarService": None,
    },
}


def before_an_agent(
    scene: Callable[[RunningApi, RunningAgent], Awaitable[None]], *, allows: bool = True
) -> None:
    """In front of an embedded agent; the files define db."""

    async def play() -> None:
        async with running_agent() as agent:
            access = AgentAccess(port=int(agent.listening.http.rpartition(":")[2]))
            defined = (managed_service("db", port=5432),)
            async with running_api(access, allows_registration=allows, defined=defined) as running:
                await scene(running, agent)

    asyncio.run(play())


async def register(running: RunningApi, body: Any, **how: Any) -> httpx.Response:
    return await running.http.put(REGISTER, json=body, **how)


@pytest.mark.parametrize("keys", [("Connect", "Proxy"), ("connect", "proxy"), ("CONNECT", "PROXY")])
def test_without_the_setting_it_is_refused_and_the_setting_is_named(keys: tuple[str, str]) -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        body = {"Name": "x", "Port": 1, keys[0]: {keys[1]: {"command": ["/bin/sh"]}}}
        answer = await register(running, body)
        assert answer.status_code == 400
        assert "set connect.proxy.allow_managed_api_registration = true" in answer.text
        assert await agent.json("/v1/agent/services") == {}

    before_an_agent(scene, allows=False)


def test_service_and_proxy_are_registered_as_consul_1_2_took_them() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await register(running, MANAGED)
        assert (answer.status_code, answer.content) == (200, b"")
        services = await agent.json("/v1/agent/services")
        assert set(services) == {"web1", "web1-proxy", "db", "db-proxy"}
        assert services["web1"]["Port"] == 8080
        proxy = services["web1-proxy"]["Proxy"]
        assert (proxy["DestinationServiceName"], proxy["DestinationServiceID"]) == ("web", "web1")
        assert proxy["Config"]["handshake_timeout_ms"] == 1000
        assert [one["DestinationName"] for one in proxy["Upstreams"]] == ["redis"]
        kept = running.services.find("web1")
        assert kept is not None
        assert kept.definition.proxy is not None
        assert kept.definition.proxy.command == ("/usr/bin/my-proxy", "-flag")

    before_an_agent(scene)


def test_a_backend_can_be_named() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        body = {"Name": "web", "Port": 8080, "Connect": {"Proxy": {"Backend": "builtin"}}}
        assert (await register(running, body)).status_code == 200
        kept = running.services.find("web")
        assert kept is not None
        assert kept.definition.proxy is not None
        assert kept.definition.proxy.backend == "builtin"

    before_an_agent(scene)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Connect": {"Proxy": {"ExecMode": "script"}}}, '"service.Connect.Proxy.ExecMode" is "script"'),
        ({"Connect": {"Proxy": {"Comand": ["/bin/true"]}}}, 'unknown key "Comand"'),
        ({"Connect": {"Proxy": {"Command": ["/bin/true"], "Backend": "envoy"}}}, "keep one"),
        ({"Connect": {"Proxy": {"Backend": "bulitin"}}}, 'did you mean "builtin"?'),
        ({"Port": 0}, "has a proxy and no port"),
        ({"Name": ""}, "has no name"),
        ({"ID": "db", "Name": "db"}, "the service 'db' is defined in web.hcl:1: change it there"),
        ({"Connect": {"Proxy": {"Config": {"bind_port": 5432}}}}, "wants port 5432"),
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_registered(change: Any, words: str) -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await register(running, {**MANAGED, **change})
        assert answer.status_code == 400
        assert words in answer.text
        assert await agent.json("/v1/agent/services") == {}
        assert running.services.find("web1") is None

    before_an_agent(scene)


def test_what_is_no_json_is_consuls_to_refuse() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        assert (await running.http.put(REGISTER, content=b'{"Connect": {"Proxy"')).status_code == 400

    before_an_agent(scene)


def test_a_new_registration_without_a_proxy_keeps_the_one_there_is() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        await register(running, MANAGED)
        assert (await register(running, {"ID": "web1", "Name": "web", "Port": 8081})).status_code == 200
        services = await agent.json("/v1/agent/services")
        assert services["web1"]["Port"] == 8081
        assert services["web1-proxy"]["Proxy"]["LocalServicePort"] == 8081
        kept = running.services.find("web1")
        assert kept is not None
        assert kept.document["Connect"]["Proxy"] == MANAGED["Connect"]["Proxy"]  # type: ignore[index]

    before_an_agent(scene)


def test_deregistering_the_service_takes_its_proxy_along_for_good() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        await register(running, MANAGED)
        assert (await running.http.put("/v1/agent/service/deregister/web1-proxy")).status_code == 400
        assert (await running.http.put("/v1/agent/service/deregister/web1")).status_code == 200
        assert set(await agent.json("/v1/agent/services")) == {"db", "db-proxy"}
        assert running.services.find("web1") is None
        assert running.withdrawn == ["web1"]

    before_an_agent(scene)


def test_a_managed_proxy_cannot_register_others() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        for is_local in (True, False):
            running.api.publish([published(managed_proxy("db"), is_local=is_local)])
            answer = await register(running, MANAGED, headers={"X-Consul-Token": "web-token"})
            assert answer.status_code == 403
        assert await agent.json("/v1/agent/services") == {}

    before_an_agent(scene)


def test_consul_is_asked_first_with_the_token_of_who_registers_and_its_refusal_counts() -> None:
    async def play() -> None:
        async with (
            ScriptedAgent() as agent,
            running_api(agent.access("agents-own"), allows_registration=True) as running,
        ):
            agent.always(REGISTER, Reply(status=403, body=b"Permission denied"))
            answer = await register(running, MANAGED, headers={"X-Consul-Token": "callers"})
            assert (answer.status_code, answer.text) == (403, "Permission denied")
            assert running.services.find("web1") is None
            [asked] = agent.asked(REGISTER)
            assert asked.headers["x-consul-token"] == "callers"

    asyncio.run(play())


def test_the_token_registers_and_is_not_given_to_the_proxy() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        await register(running, {**MANAGED, "Token": "in-the-body"}, headers={"X-Consul-Token": "callers"})
        kept = running.services.find("web1")
        assert kept is not None
        assert kept.definition.token == Secret("callers")
        assert "Token" not in kept.document

    before_an_agent(scene)
