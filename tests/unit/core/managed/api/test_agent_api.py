import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import connect_consul
from connect_proxy.managed.api.agent_api import AgentApi
from connect_proxy.managed.api.services import ApiServices
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.registrar import PlacedProxy, Registrar
from connect_proxy.mesh.registration import Upstream
from support.agent_api_running import RunningApi, api_registration, published, running_api
from support.dev_agent_running import RunningAgent, running_agent
from support.eventually import eventually
from support.managed_definitions import configuration, managed_proxy, managed_service
from support.scripted_agent import Raw, Reply, ScriptedAgent, Silence

WEB = managed_proxy("web", upstreams=(Upstream(destination_name="redis", local_bind_port=1234),))
VIEW = "/v1/agent/connect/proxy/web-proxy"
TOKEN = {"X-Consul-Token": "web-token"}


def before_an_agent(scene: Callable[[RunningApi, RunningAgent], Awaitable[None]]) -> None:
    async def play() -> None:
        async with running_agent() as agent:
            access = AgentAccess(port=int(agent.listening.http.rpartition(":")[2]))
            async with running_api(access) as running:
                running.api.publish([published(WEB)], files=AgentConfiguration(bind_address="127.0.0.1"))
                await scene(running, agent)

    asyncio.run(play())


def before_a_script(scene: Callable[[RunningApi, ScriptedAgent], Awaitable[None]]) -> None:
    async def play() -> None:
        async with ScriptedAgent() as agent, running_api(agent.access("agents-own")) as running:
            running.api.publish([published(WEB)])
            await scene(running, agent)

    asyncio.run(play())


# ---------------------------------------------------------------- a proxy's view of itself


def test_a_proxy_sees_itself_as_consul_1_2_showed_it() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.get(VIEW, headers=TOKEN)
        assert answer.status_code == 200
        view = answer.json()
        assert answer.headers["x-consul-contenthash"] == view.pop("ContentHash")
        assert view == {
            "ProxyServiceID": "web-proxy",
            "TargetServiceID": "web",
            "TargetServiceName": "web",
            "ExecMode": "daemon",
            "Command": [],
            "Config": {
                "bind_address": "127.0.0.1",
                "bind_port": 20001,
                "local_service_address": "127.0.0.1:8080",
                "upstreams": [{"destination_name": "redis", "local_bind_port": 1234}],
                "telemetry": {"filter_default": True, "metrics_prefix": "consul.proxy.web"},
            },
            "Upstreams": [
                {"DestinationType": "service", "DestinationName": "redis", "LocalBindPort": 1234}
            ],
        }

    before_an_agent(scene)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=web-token", {}),
        ("", {"X-Consul-Token": "web-token"}),
        ("", {"Authorization": "Bearer web-token"}),
        ("?token=web-token", {"X-Consul-Token": "other"}),
    ],
)
def test_the_token_is_found_where_consul_looks_for_it(query: str, headers: dict[str, str]) -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        assert (await running.http.get(VIEW + query, headers=headers)).status_code == 200

    before_an_agent(scene)


@pytest.mark.parametrize("headers", [{}, {"X-Consul-Token": "other"}, {"X-Consul-Token": ""}])
def test_nobody_else_sees_it(headers: dict[str, str]) -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.get(VIEW, headers=headers)
        assert (answer.status_code, answer.text) == (403, "Permission denied")

    before_an_agent(scene)


def test_an_unknown_proxy_is_told_in_consuls_words() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.get("/v1/agent/connect/proxy/nope", headers=TOKEN)
        assert (answer.status_code, answer.text) == (404, "unknown proxy service ID")

    before_an_agent(scene)


def test_it_is_only_read() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        assert (await running.http.put(VIEW, headers=TOKEN)).status_code == 405

    before_an_agent(scene)


def test_a_query_with_the_current_hash_waits_until_the_proxy_changes() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        first = (await running.http.get(VIEW, headers=TOKEN)).json()
        known = {"hash": first["ContentHash"], "wait": "1m"}
        waiting = asyncio.create_task(running.http.get(VIEW, headers=TOKEN, params=known))
        # Published again as it was: nothing to tell, whether that came before or after the question.
        running.api.publish([published(WEB)], files=AgentConfiguration(bind_address="127.0.0.1"))
        await running.http.get(VIEW, headers=TOKEN)
        assert not waiting.done()
        running.api.publish([published(WEB, port=20002)])
        changed = (await waiting).json()
        assert changed["Config"]["bind_port"] == 20002
        assert changed["ContentHash"] != first["ContentHash"]

    before_an_agent(scene)


def test_a_query_with_another_hash_is_answered_at_once() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.get(VIEW, headers=TOKEN, params={"hash": "stale", "wait": "10m"})
        assert answer.status_code == 200

    before_an_agent(scene)


def test_after_the_wait_the_same_comes_back() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        first = (await running.http.get(VIEW, headers=TOKEN)).json()
        params = {"hash": first["ContentHash"], "wait": "10ms"}
        assert (await running.http.get(VIEW, headers=TOKEN, params=params)).json() == first

    before_an_agent(scene)


def test_who_waits_is_told_when_the_proxy_goes() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        first = (await running.http.get(VIEW, headers=TOKEN)).json()
        params = {"hash": first["ContentHash"], "wait": "1m"}
        waiting = asyncio.create_task(running.http.get(VIEW, headers=TOKEN, params=params))
        await running.http.get(VIEW, headers=TOKEN)
        running.api.publish([])
        assert (await waiting).status_code == 404

    before_an_agent(scene)


def test_a_wait_that_is_no_duration_is_refused_in_consuls_words() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.get(VIEW, headers=TOKEN, params={"hash": "x", "wait": "soon"})
        assert (answer.status_code, answer.text) == (400, "Invalid wait time")

    before_an_agent(scene)


# ---------------------------------------------------------------- what a local token may do


def test_a_proxys_token_reads_its_own_services_connect_data_as_the_agent() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        path = "/v1/agent/connect/ca/leaf/web"
        agent.put(path, {"CertPEM": "c"})
        answer = await running.http.get(path + "?token=web-token&wait=1ms&index=0")
        assert answer.json() == {"CertPEM": "c"}
        (received,) = agent.asked(path)
        assert received.headers["x-consul-token"] == "agents-own"
        assert received.params == {"wait": "1ms", "index": "0"}

    before_a_script(scene)


def test_a_proxys_token_authorizes_callers_of_its_own_service() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        path = "/v1/agent/connect/authorize"
        agent.always(path, Reply(body={"Authorized": True, "Reason": "r"}))
        own = await running.http.post(path, json={"Target": "web", "ClientCertURI": "u"}, headers=TOKEN)
        other = await running.http.post(path, json={"Target": "db"}, headers=TOKEN)
        assert (own.status_code, other.status_code) == (200, 403)
        (received,) = agent.asked(path)
        assert json.loads(received.body) == {"Target": "web", "ClientCertURI": "u"}

    before_a_script(scene)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/agent/connect/ca/leaf/db"),
        ("GET", "/v1/agent/self"),
        ("GET", "/v1/kv/secret"),
        ("PUT", "/v1/agent/service/register"),
        ("PUT", "/v1/agent/service/deregister/web"),
        ("PUT", "/v1/acl/token"),
    ],
)
def test_a_proxys_token_may_nothing_else(method: str, path: str) -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        answer = await running.http.request(method, path, headers=TOKEN)
        assert (answer.status_code, answer.text) == (403, "Permission denied")
        assert agent.requests == []

    before_a_script(scene)


def test_a_token_that_consul_knows_passes_unchanged() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        running.api.publish([published(WEB, is_local=False)])
        agent.put("/v1/kv/x", 1)
        for token in ("web-token", "somebody-elses"):
            await running.http.get("/v1/kv/x", headers={"X-Consul-Token": token})
        assert [one.headers["x-consul-token"] for one in agent.asked("/v1/kv/x")] == [
            "web-token",
            "somebody-elses",
        ]

    before_a_script(scene)


# ---------------------------------------------------------------- what is forwarded


def test_without_a_token_none_is_added() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.put("/v1/kv/x", 1)
        await running.http.get("/v1/kv/x")
        assert "x-consul-token" not in agent.requests[0].headers

    before_a_script(scene)


def test_method_path_query_body_and_headers_arrive_as_they_were_sent() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.always("/v1/kv/a b/ü%", Reply(body=b"true", headers={"X-Consul-Index": "7"}))
        target = "/v1/kv/a%20b/%C3%BC%25?cas=0&flags=4%2F2&flag"
        answer = await running.http.put(target, content=b"\x00body", headers={"X-Own": "1"})
        assert (answer.status_code, answer.content) == (200, b"true")
        assert answer.headers["x-consul-index"] == "7"
        (received,) = agent.requests
        assert (received.method, received.target, received.body) == ("PUT", target, b"\x00body")
        assert received.headers["x-own"] == "1"
        assert received.headers["content-length"] == "5"

    before_a_script(scene)


def test_no_header_is_added_on_the_way() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.put("/v1/kv/x", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /v1/kv/x HTTP/1.0\r\nX-Own: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n1")
        writer.close()
        assert set(agent.requests[0].headers) == {"host", "x-own"}

    before_a_script(scene)


def test_answers_of_every_status_pass() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.always("/v1/kv/x", Reply(status=404))
        agent.always("/v1/txn", Reply(status=302, headers={"Location": "/v1/other"}))
        assert (await running.http.get("/v1/kv/x")).status_code == 404
        moved = await running.http.put("/v1/txn", content=b"[]")
        assert (moved.status_code, moved.headers["location"]) == (302, "/v1/other")

    before_a_script(scene)


def test_a_blocking_query_blocks_and_is_answered() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.put("/v1/kv/x", 1, index=20)
        waiting = asyncio.create_task(running.http.get("/v1/kv/x?index=20&wait=60000ms"))
        await eventually(lambda: agent.asked("/v1/kv/x"), "the query at Consul")
        assert not waiting.done()
        agent.put("/v1/kv/x", 2, index=21)
        answer = await waiting
        assert (answer.json(), answer.headers["x-consul-index"]) == (2, "21")

    before_a_script(scene)


def test_a_client_that_hangs_up_ends_its_query_at_consul() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        asked, ended = asyncio.Event(), asyncio.Event()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            ended.set()
            writer.close()

        async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with running_api(AgentAccess(port=port)) as other:
                hanging = asyncio.create_task(other.http.get("/v1/kv/x?index=3"))
                await asyncio.wait_for(asked.wait(), 60)
                hanging.cancel()
                await asyncio.gather(hanging, return_exceptions=True)
                await asyncio.wait_for(ended.wait(), 60)

    before_a_script(scene)


def test_a_consul_that_is_away_is_told_of() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        await agent.stop()
        answer = await running.http.get("/v1/kv/x")
        assert answer.status_code == 502
        assert "connection refused" in answer.text
        await agent.start()

    before_a_script(scene)


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        agent.always("/v1/kv/x", Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
        with pytest.raises(httpx.RemoteProtocolError):
            await running.http.get("/v1/kv/x")

    before_a_script(scene)


@pytest.mark.parametrize("path", ["/v1/kv/%2e%2e/agent/self", "/v1/./agent/self", "/v1/kv/.%2E/x"])
def test_paths_that_walk_are_refused(path: str) -> None:
    async def scene(running: RunningApi, agent: ScriptedAgent) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400")
        assert agent.requests == []

    before_a_script(scene)


def test_stopping_ends_queries_that_wait() -> None:
    async def play() -> None:
        async with ScriptedAgent() as agent, running_api(agent.access()) as running:
            running.api.publish([published(WEB)])
            first = (await running.http.get(VIEW, headers=TOKEN)).json()
            agent.always("/v1/kv/x", Silence())
            params = {"hash": first["ContentHash"]}
            own = asyncio.create_task(running.http.get(VIEW, headers=TOKEN, params=params))
            forwarded = asyncio.create_task(running.http.get("/v1/kv/x"))
            await eventually(lambda: agent.asked("/v1/kv/x"), "the query at Consul")
            await running.api.stop()
            assert (await own).status_code == 200
            assert (await forwarded).status_code == 502

    asyncio.run(play())


# ---------------------------------------------------------------- services


def test_other_services_are_registered_and_deregistered_through_it() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        answer = await running.http.put("/v1/agent/service/register", json={"Name": "x", "Port": 1})
        assert answer.status_code == 200
        assert set(await agent.json("/v1/agent/services")) == {"x"}
        assert (await running.http.put("/v1/agent/service/deregister/x")).status_code == 200
        assert await agent.json("/v1/agent/services") == {}
        assert running.withdrawn == []

    before_an_agent(scene)


def test_deregistering_a_service_of_the_files_takes_its_proxy_along() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        placed = PlacedProxy(proxy=WEB, port=20001)
        await running.registrar.apply(configuration(managed_service("web")), [placed])
        assert (await running.http.put("/v1/agent/service/deregister/web")).status_code == 200
        assert await agent.json("/v1/agent/services") == {}
        assert running.withdrawn == ["web"]

    before_an_agent(scene)


def test_a_managed_proxy_is_deregistered_with_its_service_only() -> None:
    async def scene(running: RunningApi, agent: RunningAgent) -> None:
        placed = PlacedProxy(proxy=WEB, port=20001)
        await running.registrar.apply(configuration(managed_service("web")), [placed])
        answer = await running.http.put("/v1/agent/service/deregister/web-proxy")
        assert answer.status_code == 400
        assert "deregister 'web'" in answer.text
        assert set(await agent.json("/v1/agent/services")) == {"web", "web-proxy"}

    before_an_agent(scene)


# ---------------------------------------------------------------- in the embedded agent's own port


def test_it_stands_in_front_of_the_embedded_agent() -> None:
    async def play() -> None:
        access = AgentAccess(port=1)
        registrar = Registrar(connect_consul(access))
        registration = api_registration(ApiServices(None), configuration(), registrar)
        api = AgentApi(access=access, registrar=registrar, registration=registration)
        async with running_agent(front=api.over) as agent:
            api.publish([published(WEB)])
            assert (await agent.http.get(VIEW, headers=TOKEN)).status_code == 200
            assert (await agent.http.get("/v1/agent/self")).status_code == 200
            assert (await agent.http.get("/v1/agent/self", headers=TOKEN)).status_code == 403
            assert (await agent.http.get("/v1/agent/connect/ca/leaf/web", headers=TOKEN)).status_code == 200

    asyncio.run(play())
