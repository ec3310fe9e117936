import asyncio
from pathlib import Path

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.pass_through import PassThrough, end_to_end
from connect_proxy.errors import AgentUnreachableError
from support.scripted_agent import ScriptedAgent


async def body_of(access: AgentAccess, target: bytes) -> bytes:
    passing = PassThrough(access)
    try:
        async with passing.exchange(method="GET", target=target, headers=[], body=None) as answer:
            return b"".join([piece async for piece in answer.body])
    finally:
        await passing.aclose()


def test_an_agent_on_a_unix_socket_is_reached(tmp_path: Path) -> None:
    async def go() -> None:
        async with ScriptedAgent(unix_socket=tmp_path / "http.sock") as agent:
            agent.put("/v1/kv/a/b", [1])
            assert await body_of(agent.access(), b"/v1/kv/a%2Fb?x=%20") == b"[1]"
            assert agent.requests[0].target == "/v1/kv/a%2Fb?x=%20"
            assert agent.requests[0].headers == {"host": "localhost"}

    asyncio.run(go())


def test_an_agent_that_is_away_is_named() -> None:
    with pytest.raises(AgentUnreachableError, match="connection refused"):
        asyncio.run(body_of(AgentAccess(port=1), b"/v1/kv/x"))


def test_headers_of_one_connection_do_not_travel() -> None:
    headers = [
        (b"connection", b"keep-alive, X-Hop"),
        (b"keep-alive", b"timeout=5"),
        (b"x-hop", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"host", b"here"),
        (b"x-consul-token", b"t"),
        (b"content-length", b"3"),
    ]
    assert end_to_end(headers) == [(b"x-consul-token", b"t"), (b"content-length", b"3")]
