import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.errors import AgentUnreachableError
from connect_proxy.managed.definitions.configuration import CheckDefinition
from connect_proxy.managed.registrar import PlacedProxy, Registrar
from support.dev_agent_running import RunningAgent, running_agent
from support.eventually import eventually
from support.managed_definitions import ORIGIN, configuration, managed_proxy, managed_service
from support.manual_clock import ManualClock
from support.scripted_agent import Reply, ScriptedAgent, text

WEB = managed_service("web")
DB = managed_service("db", proxied=False)
WEB_PROXY = PlacedProxy(proxy=managed_proxy("web"), port=20001)


class Notes:
    """What a registrar told."""

    def __init__(self) -> None:
        self.remembered: list[frozenset[str]] = []
        self.withdrawn: list[str] = []

    def registrar(self, client: ConsulClient, *, remembered: Iterable[str] = ()) -> Registrar:
        return Registrar(
            client,
            remembered=remembered,
            remember=self.remembered.append,
            on_withdrawn=self.withdrawn.append,
            clock=ManualClock(),
        )


def on_an_agent(scene: Callable[[RunningAgent, ConsulClient, Notes], Awaitable[None]]) -> None:
    async def play() -> None:
        async with running_agent() as agent:
            port = int(agent.listening.http.rpartition(":")[2])
            client = connect_consul(AgentAccess(port=port))
            try:
                await scene(agent, client, Notes())
            finally:
                await client.aclose()

    asyncio.run(play())


async def ids_of(agent: RunningAgent) -> set[str]:
    return set(await agent.json("/v1/agent/services"))


def test_services_and_their_proxies_are_registered_with_the_proxys_check() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        assert await notes.registrar(client).apply(configuration(WEB, DB), [WEB_PROXY]) == {}
        assert await ids_of(agent) == {"web", "db", "web-proxy"}
        (found,) = await agent.json("/v1/catalog/connect/web")
        assert (found["ServiceID"], found["ServicePort"]) == ("web-proxy", 20001)
        assert (await agent.json("/v1/agent/checks"))["service:web-proxy"][
            "Name"
        ] == "Connect Proxy Listening"

    on_an_agent(scene)


def test_all_ids_are_remembered_before_anything_is_registered() -> None:
    async def go() -> None:
        async with ScriptedAgent() as agent:
            agent.always("/v1/agent/service/register", Reply())
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            client = connect_consul(agent.access())
            asked_when_remembered: list[int] = []
            registrar = Registrar(
                client, remember=lambda _ids: asked_when_remembered.append(len(agent.requests))
            )
            await registrar.apply(configuration(WEB), [WEB_PROXY])
            await client.aclose()
            assert asked_when_remembered == [0]

    asyncio.run(go())


def test_what_an_earlier_run_registered_and_nobody_wants_is_deregistered_the_proxy_first() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        await notes.registrar(client).apply(configuration(WEB, DB), [WEB_PROXY])
        later = Notes()
        await later.registrar(client, remembered=notes.remembered[-1]).apply(configuration(DB), [])
        assert await ids_of(agent) == {"db"}
        assert later.remembered == [frozenset({"db"})]

    on_an_agent(scene)


def test_what_others_registered_is_left_alone() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        await agent.register({"Name": "other", "Port": 9000})
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        await registrar.apply(configuration(), [])
        assert await ids_of(agent) == {"other"}
        assert await registrar.other_ports() == {9000}

    on_an_agent(scene)


def test_a_sidecar_that_is_no_longer_wanted_goes_though_its_service_stays() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        with_sidecar = managed_service("db", proxied=False, Connect={"SidecarService": {"Port": 21011}})
        await registrar.apply(configuration(with_sidecar), [])
        assert await ids_of(agent) == {"db", "db-sidecar-proxy"}
        await registrar.apply(configuration(DB), [])
        assert await ids_of(agent) == {"db"}

    on_an_agent(scene)


@pytest.mark.parametrize("lost", ["web", "web-proxy"])
def test_what_other_hands_deregistered_is_put_back(lost: str) -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        await client.deregister_service(lost)
        assert await registrar.restore() == {lost}
        assert await ids_of(agent) == {"web", "web-proxy"}
        assert await registrar.restore() == frozenset()

    on_an_agent(scene)


def test_a_lost_sidecar_is_put_back_by_its_service() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        with_sidecar = managed_service("db", proxied=False, Connect={"SidecarService": {"Port": 21011}})
        await registrar.apply(configuration(with_sidecar), [])
        await client.deregister_service("db-sidecar-proxy")
        await registrar.restore()
        assert await ids_of(agent) == {"db", "db-sidecar-proxy"}

    on_an_agent(scene)


def test_what_other_hands_changed_is_put_back() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        await agent.register({"ID": "web", "Name": "web", "Port": 1})
        assert await registrar.restore() == {"web"}
        assert (await agent.json("/v1/agent/services"))["web"]["Port"] == 8080

    on_an_agent(scene)


def test_a_check_of_no_service_comes_goes_and_is_put_back() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        body = {"Name": "disk", "TTL": "10s"}
        wanted = replace(configuration(DB), checks=(CheckDefinition(body=body, origin=ORIGIN),))
        registrar = notes.registrar(client)
        assert await registrar.apply(wanted, []) == {}
        assert set(await agent.json("/v1/agent/checks")) == {"disk"}
        await client.deregister_check("disk")
        assert await registrar.restore() == {"check:disk"}
        assert await registrar.restore() == frozenset()
        await registrar.apply(configuration(DB), [])
        assert await agent.json("/v1/agent/checks") == {}
        assert notes.remembered[-1] == {"db"}

    on_an_agent(scene)


def test_a_check_of_a_service_of_the_files_is_registered_after_it() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        check = CheckDefinition(body={"Name": "up", "TTL": "10s", "ServiceID": "db"}, origin=ORIGIN)
        assert await notes.registrar(client).apply(replace(configuration(DB), checks=(check,)), []) == {}
        assert (await agent.json("/v1/agent/checks"))["up"]["ServiceID"] == "db"

    on_an_agent(scene)


def test_the_check_of_a_proxy_is_put_back() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        await client.deregister_check("service:web-proxy")
        assert await registrar.restore() == {"web-proxy"}
        assert "service:web-proxy" in await agent.json("/v1/agent/checks")
        assert await registrar.restore() == frozenset()

    on_an_agent(scene)


def test_keeping_watches_for_ever_and_puts_back() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        task = asyncio.create_task(registrar.keep())
        await client.deregister_service("web")
        while await ids_of(agent) != {"web", "web-proxy"}:  # noqa: ASYNC110 - asked of the agent
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    on_an_agent(scene)


def test_while_consul_is_away_it_is_asked_again_and_everything_comes_back_at_once() -> None:
    async def go() -> None:
        clock = ManualClock()
        recovered = asyncio.Event()
        async with ScriptedAgent() as agent:
            agent.always("/v1/agent/service/register", Reply())
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            client = connect_consul(agent.access())
            registrar = Registrar(client, clock=clock, on_recovered=recovered.set)
            await agent.stop()
            failures = await registrar.apply(configuration(WEB, DB), [WEB_PROXY])
            assert set(failures) == {"web", "db"}
            assert isinstance(failures["db"], AgentUnreachableError)
            task = asyncio.create_task(registrar.keep())
            await eventually(lambda: len(clock.slept) > 6, "several tries")
            assert not recovered.is_set()
            await agent.start()
            await eventually(lambda: len(agent.asked("/v1/agent/service/register")) == 3, "all")
            await asyncio.wait_for(recovered.wait(), 60)
            assert registrar.failures == {}
            task.cancel()
            await asyncio.wait({task})
            await client.aclose()
        assert max(clock.slept) <= 10

    asyncio.run(go())


def test_a_service_that_is_refused_does_not_keep_others_out(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        async with ScriptedAgent() as agent:
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            path = "/v1/agent/service/register"
            agent.script(path, text(403, "Permission denied"))
            agent.always(path, Reply())
            client = connect_consul(agent.access())
            failures = await Registrar(client).apply(configuration(WEB, DB), [WEB_PROXY])
            await client.aclose()
        assert len(failures) == 1
        assert len(agent.asked(path)) >= 2

    with caplog.at_level(logging.WARNING):
        asyncio.run(go())
    assert "is not registered" in caplog.text


def test_a_consul_that_answers_nobody_is_not_asked_for_every_service_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        client = connect_consul(AgentAccess(port=server.sockets[0].getsockname()[1]))
        registrar = Registrar(client)
        wanted = configuration(*(managed_service(f"s{number}", proxied=False) for number in range(50)))
        for _ in range(2):
            assert len(await registrar.apply(wanted, ())) == 50
        await client.aclose()
        server.close()
        await server.wait_closed()

    with caplog.at_level(logging.WARNING):
        asyncio.run(go())
    assert 0 < len([line for line in asked if b"/register" in line]) < 50
    assert caplog.text.count("services are not registered yet") == 1


def test_a_definitions_token_is_what_its_service_is_registered_with() -> None:
    async def go() -> list[str]:
        async with ScriptedAgent() as agent:
            agent.always("/v1/agent/service/register", Reply())
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            client = connect_consul(agent.access("agents"))
            await Registrar(client).apply(configuration(managed_service(token="webs"), DB), [WEB_PROXY])
            await client.aclose()
            return [one.headers["x-consul-token"] for one in agent.asked("/v1/agent/service/register")]

    assert sorted(asyncio.run(go())) == ["agents", "webs", "webs"]


def test_what_the_token_may_register_but_not_read_is_not_registered_again_and_again() -> None:
    async def go() -> None:
        async with ScriptedAgent() as agent:
            agent.always("/v1/agent/service/register", Reply())
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            client = connect_consul(agent.access())
            registrar = Registrar(client)
            await registrar.apply(configuration(WEB), [WEB_PROXY])
            assert await registrar.restore() == frozenset()
            await client.aclose()
            assert len(agent.asked("/v1/agent/service/register")) == 2

    asyncio.run(go())


def test_a_withdrawn_service_goes_with_its_proxy_until_the_next_reload() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB, DB), [WEB_PROXY])
        await client.deregister_service("web")
        await registrar.withdraw("web")
        assert notes.withdrawn == ["web"]
        assert not registrar.has("web")
        await registrar.restore()
        assert await ids_of(agent) == {"db"}
        await registrar.apply(configuration(WEB, DB), [WEB_PROXY])
        assert await ids_of(agent) == {"db", "web", "web-proxy"}

    on_an_agent(scene)


def test_a_proxy_is_told_from_its_service() -> None:
    async def scene(agent: RunningAgent, client: ConsulClient, notes: Notes) -> None:
        registrar = notes.registrar(client)
        await registrar.apply(configuration(WEB), [WEB_PROXY])
        assert registrar.has("web")
        assert not registrar.has("web-proxy")
        assert registrar.owner_of("web-proxy") == "web"
        assert registrar.owner_of("web") == ""

    on_an_agent(scene)


def test_what_is_already_gone_is_no_trouble_to_deregister() -> None:
    async def go() -> None:
        notes = Notes()
        async with ScriptedAgent() as agent:
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            agent.always("/v1/agent/service/deregister/old", text(500, 'Unknown service {"old" {}}'))
            client = connect_consul(agent.access())
            await notes.registrar(client, remembered={"old"}).apply(configuration(), [])
            await client.aclose()
        assert notes.remembered == [frozenset()]

    asyncio.run(go())


def test_what_cannot_be_deregistered_yet_is_tried_again() -> None:
    async def go() -> None:
        notes = Notes()
        async with ScriptedAgent() as agent:
            agent.put("/v1/agent/services", {})
            agent.put("/v1/agent/checks", {})
            path = "/v1/agent/service/deregister/old"
            agent.script(path, text(500, "No cluster leader"))
            agent.always(path, Reply())
            client = connect_consul(agent.access())
            registrar = notes.registrar(client, remembered={"old"})
            await registrar.apply(configuration(), [])
            assert notes.remembered == []
            await registrar.restore()
            await client.aclose()
        assert notes.remembered == [frozenset()]

    asyncio.run(go())
