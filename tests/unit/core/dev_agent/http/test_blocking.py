import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from connect_proxy.dev_agent.http.blocking import QueryOptions, is_blocking, query_options
from connect_proxy.errors import ApiError
from support.dev_agent_running import RunningAgent, running_agent
from support.eventually import eventually

HEALTH = "/v1/health/service/{}"


def native(name: str, **fields: Any) -> dict[str, Any]:
    return {"Name": name, "Port": 80, "Connect": {"Native": True}, **fields}


async def index_of(agent: RunningAgent, path: str) -> int:
    return int((await agent.http.get(path)).headers["X-Consul-Index"])


def ask(agent: RunningAgent, path: str, **params: Any) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(agent.http.get(path, params={"wait": "60s", **params}))


async def asleep(agent: RunningAgent, count: int) -> None:
    """Until *count* queries sleep, beside the agent's own renewer."""
    await eventually(lambda: agent.agent.changes.waiting == count + 1, f"{count} sleeping queries")


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", QueryOptions(index=0, wait=300)),
        ("index=5", QueryOptions(index=5, wait=300)),
        ("index=5&wait=2s", QueryOptions(index=5, wait=2)),
        ("index=&wait=", QueryOptions(index=0, wait=300)),
        (f"index={2**64 - 1}", QueryOptions(index=2**64 - 1, wait=300)),
    ],
)
def test_index_and_wait_are_read(query: str, options: QueryOptions) -> None:
    assert query_options(QueryParams(query)) == options


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("index=a", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=%C2%B2", "Invalid index"),
        (f"index={2**64}", "Invalid index"),
        ("wait=1", "Invalid wait time"),
        ("index=a&wait=a", "Invalid wait time"),
        ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
    ],
)
def test_what_cannot_be_read_is_refused(query: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        query_options(QueryParams(query))
    assert (caught.value.status, str(caught.value)) == (400, text)


@given(st.floats(min_value=-10_000, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_the_patience_is_the_wait_and_at_most_a_sixteenth_more(wait: float, part: float) -> None:
    patience = QueryOptions(index=1, wait=wait).patience(lambda most: most * part)
    expected = min(wait if wait > 0 else 300, 600)
    assert expected <= patience <= expected * (1 + 1 / 16)


@pytest.mark.parametrize(
    ("query", "blocking"),
    [
        ("", False),
        ("index=0", False),
        ("index=", False),
        ("index=1", True),
        ("hash=", False),
        ("hash=x", True),
    ],
)
def test_only_an_index_or_a_hash_blocks(query: str, blocking: bool) -> None:
    assert is_blocking(QueryParams(query)) is blocking


def test_a_query_is_woken_by_its_own_service_and_by_no_other() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register(native("a"))
            await agent.register(native("b"))
            paths = [path.format(name) for path in (HEALTH, "/v1/health/connect/{}") for name in "ab"]
            indexes = [await index_of(agent, path) for path in paths]
            asked = [ask(agent, path, index=index) for path, index in zip(paths, indexes, strict=True)]
            await asleep(agent, 4)
            await agent.register(native("a", Port=81))
            first, _, third, _ = asked
            for done in (await first, await third):
                assert done.json()[0]["Service"]["Port"] == 81
                assert int(done.headers["X-Consul-Index"]) > max(indexes)
            assert [task.done() for task in asked] == [True, False, True, False]
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    "path", ["/v1/health/service/new", "/v1/catalog/connect/new", "/v1/catalog/services"]
)
def test_a_query_on_what_is_not_there_yet_is_woken_when_it_comes(path: str) -> None:
    async def run() -> None:
        async with running_agent() as agent:
            asked = ask(agent, path, index=await index_of(agent, path))
            await asleep(agent, 1)
            await agent.register(native("new"))
            assert "new" in (await asked).text

    asyncio.run(run())


def test_after_the_wait_the_same_index_comes_back() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            path = HEALTH.format("consul")
            index = await index_of(agent, path)
            for asked in (index, index + 1000):
                answer = await agent.http.get(path, params={"index": asked, "wait": "10ms"})
                assert int(answer.headers["X-Consul-Index"]) == index
                assert len(answer.json()) == 1

    asyncio.run(run())


def test_a_registration_blocks_by_hash_until_it_changes() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register(native("web"))
            path = "/v1/agent/service/web"
            answer = await agent.http.get(path)
            content_hash = answer.headers["X-Consul-ContentHash"]
            assert answer.json()["ContentHash"] == content_hash
            assert (await agent.http.get(path, params={"hash": "other"})).json() == answer.json()
            asked = ask(agent, path, hash=content_hash)
            await asleep(agent, 1)
            await agent.register(native("web"))
            await agent.register(native("other"))
            assert not asked.done()
            await agent.register(native("web", Port=81))
            assert (await asked).json()["Port"] == 81

    asyncio.run(run())


def test_a_registration_that_goes_away_ends_the_wait() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register(native("web"))
            path = "/v1/agent/service/web"
            asked = ask(agent, path, hash=(await agent.http.get(path)).headers["X-Consul-ContentHash"])
            await asleep(agent, 1)
            await agent.http.put("/v1/agent/service/deregister/web")
            answer = await asked
            assert (answer.status_code, answer.text) == (404, "unknown service ID: web")

    asyncio.run(run())


def test_a_leaf_is_delivered_anew_when_the_root_rotates() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            path = "/v1/agent/connect/ca/leaf/web"
            first = await agent.http.get(path)
            asked = ask(agent, path, index=first.headers["X-Consul-Index"])
            await asleep(agent, 1)
            config = {"Provider": "consul", "Config": {"PrivateKeyType": "ec", "PrivateKeyBits": 384}}
            await agent.http.put("/v1/connect/ca/configuration", json=config)
            second = await asked
            assert second.json()["SerialNumber"] != first.json()["SerialNumber"]
            assert int(second.headers["X-Consul-Index"]) > int(first.headers["X-Consul-Index"])

    asyncio.run(run())


def test_a_query_whose_client_has_gone_is_forgotten() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            asked = ask(agent, HEALTH.format("consul"), index=1000)
            await asleep(agent, 1)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await asleep(agent, 0)

    asyncio.run(run())


async def ask_barely(agent: RunningAgent, path: str) -> bytes:
    """The whole answer as bytes: a client that costs nothing, for many at once."""
    host, _, port = agent.listening.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_thousand_queries_wait_at_once_and_all_are_woken() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            await agent.register(native("web"))
            index = await index_of(agent, HEALTH.format("web"))
            path = HEALTH.format("web") + f"?index={index}&wait=60s"
            asked = [asyncio.create_task(ask_barely(agent, path)) for _ in range(1000)]
            await asleep(agent, 1000)
            await agent.register(native("web", Port=81))
            answers = await asyncio.gather(*asked)
            assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
            assert all(b'"Port":81' in answer for answer in answers)

    asyncio.run(run())
