"""What only the transport in the clear does; the rest stands in ``test_exchange``."""

import asyncio
import socket

import pytest

from connect_proxy.consul import stream_transport
from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.stream_transport import Connected, StreamTransport
from connect_proxy.errors import AgentUnreachableError, ConsulError
from connect_proxy.secret import NO_SECRET
from support.eventually import eventually
from support.ports import free_port
from support.scripted_agent import Reply, ScriptedAgent
from support.transports import ASK, Asking

ask = Asking(StreamTransport)
SILENT = "127.0.0.2"


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any name stands for two addresses; nobody listens on the first."""

    def two_addresses(_name: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in (SILENT, "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)


def of_the_name(agent: ScriptedAgent) -> AgentAccess:
    agent.always("/v1/x", Reply(body={}))
    return AgentAccess(host="agent.test", port=agent.port)


@pytest.mark.usefixtures("named")
def test_a_name_whose_addresses_all_refuse_is_refused() -> None:
    port = free_port()
    error = ask.failure(lambda _: ask.once(AgentAccess(host="agent.test", port=port)))
    assert isinstance(error, AgentUnreachableError)
    assert f"'http://agent.test:{port}'" in str(error)
    assert "connection refused" in str(error)


@pytest.mark.usefixtures("named")
def test_where_one_address_of_a_name_refuses_the_next_one_is_asked() -> None:
    async def go() -> int:
        async with ScriptedAgent() as agent:
            return (await ask.once(of_the_name(agent))).status

    assert asyncio.run(go()) == 200


@pytest.mark.usefixtures("named")
def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = asyncio.open_connection

    async def into_the_void(host: str, port: int) -> Connected:
        if host == SILENT:
            await asyncio.Event().wait()
        return await connect(host, port)

    async def go() -> int:
        async with ScriptedAgent() as agent:
            monkeypatch.setattr(asyncio, "open_connection", into_the_void)
            return (await ask.once(of_the_name(agent))).status

    monkeypatch.setattr(stream_transport, "CONNECT_TIMEOUT_S", 4.0)
    assert asyncio.run(go()) == 200


@pytest.mark.usefixtures("named")
def test_no_connection_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def into_the_void(_host: str, _port: int) -> Connected:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(asyncio, "open_connection", into_the_void)
    monkeypatch.setattr(stream_transport, "CONNECT_TIMEOUT_S", 0.01)
    error = ask.failure(lambda _: ask.once(AgentAccess(host="agent.test")))
    assert isinstance(error, AgentUnreachableError)
    assert "no connection within" in str(error)


def test_a_name_beyond_ascii_is_told() -> None:
    error = ask.failure(lambda _: ask.once(AgentAccess(host="ag\u00ebnt.test")))
    assert isinstance(error, AgentUnreachableError)


def test_a_request_that_was_still_connecting_when_it_was_closed_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def go() -> ConsulError:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connecting, closed = asyncio.Event(), asyncio.Event()
        connect = asyncio.open_connection

        async def slowly(host: str, port: int) -> Connected:
            connecting.set()
            await closed.wait()
            return await connect(host, port)

        monkeypatch.setattr(asyncio, "open_connection", slowly)
        async with server:
            transport = StreamTransport(AgentAccess(port=port))
            asked = asyncio.create_task(transport.exchange(ASK, token=NO_SECRET))
            await asyncio.wait_for(connecting.wait(), 60)
            await transport.aclose()
            closed.set()
            with pytest.raises(AgentUnreachableError) as caught:
                await asked
            return caught.value

    assert "was closed" in str(asyncio.run(go()))


def test_nothing_stays_open_after_an_answer() -> None:
    async def go() -> bytes:
        left = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await reader.read()  # until the client has gone: the server does not hang up
            left.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            access = AgentAccess(port=server.sockets[0].getsockname()[1])
            client = StreamTransport(access)
            answer = await client.exchange(ASK, token=NO_SECRET)
            await eventually(left.is_set, "the client's end")
            return answer.body

    assert asyncio.run(go()) == b"{}"
