"""What the transports have in common: every test runs over each of them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from connect_proxy.consul import exchange
from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import AgentRequest, HttpAnswer, path_of
from connect_proxy.consul.stream_transport import StreamTransport
from connect_proxy.consul.transport import HttpTransport
from connect_proxy.errors import (
    AgentAnswerError,
    AgentUnreachableError,
    ConfigurationError,
    ConsulError,
    UnknownTokenError,
)
from connect_proxy.secret import NO_SECRET, Secret
from support.eventually import eventually
from support.ports import free_port
from support.scripted_agent import Raw, Received, Reply, ScriptedAgent, Silence
from support.tls_files import ServerTls, make_server_tls
from support.transports import ASK, TOKEN, Asking, server_context


@pytest.fixture(params=[HttpTransport, StreamTransport])
def ask(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


def test_the_answer_has_status_body_and_lower_case_headers(ask: Asking) -> None:
    async def go() -> HttpAnswer:
        async with ScriptedAgent() as agent:
            agent.script("/v1/x", Reply(status=404, body=b"gone", headers={"X-Consul-Index": "7"}))
            return await ask.once(agent.access())

    answer = asyncio.run(go())
    assert (answer.status, answer.body, answer.headers["x-consul-index"]) == (404, b"gone", "7")


def test_the_token_travels_in_its_header_only(ask: Asking) -> None:
    request = ask.received(token=TOKEN)
    assert request.headers["x-consul-token"] == TOKEN
    assert TOKEN not in request.target


def test_without_a_token_there_is_no_token_header(ask: Asking) -> None:
    assert "x-consul-token" not in ask.received().headers


@pytest.mark.parametrize("wrong", ["\n", "\r\nX-Other: 1", "\0", "é", " "])
def test_a_token_that_fits_in_no_header_is_refused_unshown_and_unsent(ask: Asking, wrong: str) -> None:
    async def talk(agent: ScriptedAgent) -> None:
        try:
            await ask.once(agent.access(), token=Secret(TOKEN + wrong))
        finally:
            assert agent.requests == []

    assert isinstance(ask.failure(talk), UnknownTokenError)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_cannot_be_is_told_by_its_setting(ask: Asking, port: int) -> None:
    with pytest.raises(ConfigurationError, match="CONSUL_HTTP_ADDR"):
        ask.kind(AgentAccess(port=port))


def test_a_name_that_is_none_is_told_with_its_remedy(ask: Asking) -> None:
    error = ask.failure(lambda _: ask.once(AgentAccess(host="a" * 64 + ".invalid")))
    assert isinstance(error, AgentUnreachableError)
    assert "check " in str(error) or "is that the agent's address" in str(error)


def test_an_answer_in_chunks_is_put_together(ask: Asking) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def go() -> HttpAnswer:
        async with ScriptedAgent() as agent:
            agent.script("/v1/x", Raw(head + b"2\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\n\r\n"))
            return await ask.once(agent.access())

    assert asyncio.run(go()).body == b"[1,2]"


@pytest.mark.parametrize(("pair", "sent"), [("user:pa:ss", "dXNlcjpwYTpzcw=="), ("user", "dXNlcjo=")])
def test_basic_authentication_is_sent(ask: Asking, pair: str, sent: str) -> None:
    request = ask.received(change=lambda access: replace(access, http_auth=Secret(pair)))
    assert request.headers["authorization"] == f"Basic {sent}"


def test_a_body_is_sent_as_json(ask: Asking) -> None:
    request = ask.received(AgentRequest(method="PUT", path="/v1/x", body={"a": [1]}))
    assert (request.method, request.body) == ("PUT", b'{"a": [1]}')
    assert request.headers["content-type"] == "application/json"


def test_params_and_encoded_segments_arrive_as_they_were(ask: Asking) -> None:
    request = ask.received(AgentRequest(path="/v1/x", params={"ns": "a b&c"}))
    assert request.params == {"ns": "a b&c"}

    async def go() -> str:
        async with ScriptedAgent() as agent:
            await ask.once(agent.access(), AgentRequest(path=path_of("agent", "service", "a/b c")))
            return agent.requests[0].target

    assert asyncio.run(go()) == "/v1/agent/service/a%2Fb%20c"


def test_proxies_of_the_environment_are_not_followed(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert ask.received().path == "/v1/x"


def test_redirections_are_not_followed(ask: Asking) -> None:
    async def go() -> tuple[int, int]:
        async with ScriptedAgent() as agent:
            agent.script("/v1/x", Reply(status=302, headers={"Location": "/v1/y"}))
            answer = await ask.once(agent.access())
            return answer.status, len(agent.requests)

    assert asyncio.run(go()) == (302, 1)


def test_a_unix_socket_is_spoken_to_with_a_valid_host_header(ask: Asking, tmp_path: Path) -> None:
    async def go() -> Received:
        async with ScriptedAgent(unix_socket=tmp_path / "s") as agent:
            agent.always("/v1/x", Reply(body={}))
            await ask.once(agent.access())
            return agent.requests[0]

    assert asyncio.run(go()).headers["host"] == "localhost"


def test_a_missing_unix_socket_is_told(ask: Asking, tmp_path: Path) -> None:
    path = tmp_path / "missing"
    error = ask.failure(lambda _: ask.once(AgentAccess(scheme="unix", socket_path=str(path))))
    assert isinstance(error, AgentUnreachableError)
    assert f"'unix://{path}'" in str(error)
    assert "no such socket" in str(error)


def test_a_refused_connection_names_the_address(ask: Asking) -> None:
    port = free_port()
    error = ask.failure(lambda _: ask.once(AgentAccess(port=port), token=Secret(TOKEN)))
    assert isinstance(error, AgentUnreachableError)
    assert f"'http://127.0.0.1:{port}'" in str(error)
    assert "connection refused" in str(error)


@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
def test_an_agent_that_hangs_up_is_unreachable(ask: Asking, content: bytes) -> None:
    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Raw(content))
        await ask.once(agent.access(), token=Secret(TOKEN))

    error = ask.failure(talk)
    assert isinstance(error, AgentUnreachableError)
    assert "GET /v1/x" in str(error)


def test_an_answer_that_is_not_http_is_malformed(ask: Asking) -> None:
    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Raw(b"\x00\x00\x12\x04\x00 frames of another protocol"))
        await ask.once(agent.access())

    error = ask.failure(talk)
    assert isinstance(error, AgentAnswerError)
    assert error.status == 0
    assert "is not HTTP" in str(error)


def test_an_agent_that_says_nothing_times_out(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect_proxy.consul.blocking_query.TIMEOUT_MARGIN_S", 0.1)

    async def talk(agent: ScriptedAgent) -> None:
        agent.always("/v1/x", Silence())
        await ask.once(agent.access(), token=Secret(TOKEN))

    error = ask.failure(talk)
    assert isinstance(error, AgentUnreachableError)
    assert "within 0.1 s" in str(error)


def test_an_answer_without_end_is_refused(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_BODY_BYTES", 1000)

    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Reply(body=b"x" * 1001))
        await ask.once(agent.access())

    error = ask.failure(talk)
    assert isinstance(error, AgentAnswerError)
    assert "longer than '1000' bytes" in str(error)


def test_plain_http_spoken_to_a_tls_port_hints_at_https(ask: Asking, files: ServerTls) -> None:
    error = ask.failure(
        lambda agent: ask.once(replace(agent.access(), scheme="http")),
        agent=ScriptedAgent(tls=server_context(files)),
    )
    assert isinstance(error, AgentUnreachableError)
    assert "https://" in str(error)


def test_closing_ends_requests_under_way_and_refuses_later_ones(ask: Asking) -> None:
    async def go() -> list[ConsulError]:
        async with ScriptedAgent() as agent:
            agent.always("/v1/x", Silence())
            transport = ask.kind(agent.access())
            under_way = asyncio.create_task(transport.exchange(ASK, token=NO_SECRET))
            await eventually(lambda: agent.requests, "the request")
            await transport.aclose()
            errors: list[ConsulError] = []
            for one in (under_way, transport.exchange(ASK, token=NO_SECRET)):
                with pytest.raises(AgentUnreachableError) as caught:
                    await asyncio.wait_for(one, 60)
                errors.append(caught.value)
            return errors

    assert all("closed" in str(error) for error in asyncio.run(go()))


def test_many_held_requests_do_not_starve_another(ask: Asking) -> None:
    async def go() -> int:
        async with ScriptedAgent() as agent:
            agent.always("/v1/x", Silence())
            agent.always("/v1/y", Reply(body={}))
            transport = ask.kind(agent.access())
            held = [asyncio.create_task(transport.exchange(ASK, token=NO_SECRET)) for _ in range(150)]
            await eventually(lambda: len(agent.requests) == len(held), "all requests")
            answer = await asyncio.wait_for(
                transport.exchange(AgentRequest(path="/v1/y"), token=NO_SECRET), 60
            )
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            await transport.aclose()
            return answer.status

    assert asyncio.run(go()) == 200
