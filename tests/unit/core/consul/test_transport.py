import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connect_proxy.consul import transport as transport_module
from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import AgentRequest, HttpAnswer, path_of
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

ASK = AgentRequest(path="/v1/x")
TOKEN = "5ec5e7c0-ffee-4a11-babe-000000000000"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


def server_context(files: ServerTls, *, ask_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert_file, files.key_file)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.ca_file)
    return context


async def once(access: AgentAccess, request: AgentRequest = ASK, token: Secret = NO_SECRET) -> HttpAnswer:
    transport = HttpTransport(access)
    try:
        return await transport.exchange(request, token=token)
    finally:
        await transport.aclose()


def received(
    request: AgentRequest = ASK,
    *,
    token: str = "",
    change: Callable[[AgentAccess], AgentAccess] = lambda a: a,
) -> Received:
    """What arrives at the agent."""

    async def go() -> Received:
        async with ScriptedAgent() as agent:
            agent.always(request.path, Reply(body={}))
            await once(change(agent.access()), request, Secret(token))
            return agent.requests[0]

    return asyncio.run(go())


def failure(
    talk: Callable[[ScriptedAgent], Awaitable[object]], *, agent: ScriptedAgent | None = None
) -> ConsulError:
    """The error that *talk* ends with, and that it shows no token."""

    async def go() -> ConsulError:
        async with agent or ScriptedAgent() as running:
            with pytest.raises(ConsulError) as caught:
                await talk(running)
            return caught.value

    error = asyncio.run(go())
    assert TOKEN not in str(error)
    return error


def test_the_answer_has_status_body_and_lower_case_headers() -> None:
    async def go() -> HttpAnswer:
        async with ScriptedAgent() as agent:
            agent.script("/v1/x", Reply(status=404, body=b"gone", headers={"X-Consul-Index": "7"}))
            return await once(agent.access())

    answer = asyncio.run(go())
    assert (answer.status, answer.body, answer.headers["x-consul-index"]) == (404, b"gone", "7")


def test_the_token_travels_in_its_header_only() -> None:
    request = received(token=TOKEN)
    assert request.headers["x-consul-token"] == TOKEN
    assert TOKEN not in request.target


def test_without_a_token_there_is_no_token_header() -> None:
    assert "x-consul-token" not in received().headers


@pytest.mark.parametrize("wrong", ["\n", "\r\nX-Other: 1", "\0", "é", " "])
def test_a_token_that_fits_in_no_header_is_refused_unshown_and_unsent(wrong: str) -> None:
    async def talk(agent: ScriptedAgent) -> None:
        try:
            await once(agent.access(), token=Secret(TOKEN + wrong))
        finally:
            assert agent.requests == []

    assert isinstance(failure(talk), UnknownTokenError)


@pytest.mark.parametrize(
    ("access", "setting"),
    [
        (AgentAccess(port=0), "CONSUL_HTTP_ADDR"),
        (AgentAccess(port=65536), "CONSUL_HTTP_ADDR"),
        (AgentAccess(scheme="https", tls_server_name=".consul"), "CONSUL_TLS_SERVER_NAME"),
    ],
)
def test_an_address_that_cannot_be_is_told_by_its_setting(access: AgentAccess, setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        HttpTransport(access)


@pytest.mark.parametrize(("pair", "sent"), [("user:pa:ss", "dXNlcjpwYTpzcw=="), ("user", "dXNlcjo=")])
def test_basic_authentication_is_sent(pair: str, sent: str) -> None:
    request = received(change=lambda access: replace(access, http_auth=Secret(pair)))
    assert request.headers["authorization"] == f"Basic {sent}"


def test_a_body_is_sent_as_json() -> None:
    request = received(AgentRequest(method="PUT", path="/v1/x", body={"a": [1]}))
    assert (request.method, request.body) == ("PUT", b'{"a": [1]}')
    assert request.headers["content-type"] == "application/json"


def test_params_and_encoded_segments_arrive_as_they_were() -> None:
    request = received(AgentRequest(path="/v1/x", params={"ns": "a b&c"}))
    assert request.params == {"ns": "a b&c"}

    async def go() -> str:
        async with ScriptedAgent() as agent:
            await once(agent.access(), AgentRequest(path=path_of("agent", "service", "a/b c")))
            return agent.requests[0].target

    assert asyncio.run(go()) == "/v1/agent/service/a%2Fb%20c"


def test_proxies_of_the_environment_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert received().path == "/v1/x"


def test_redirections_are_not_followed() -> None:
    async def go() -> tuple[int, int]:
        async with ScriptedAgent() as agent:
            agent.script("/v1/x", Reply(status=302, headers={"Location": "/v1/y"}))
            answer = await once(agent.access())
            return answer.status, len(agent.requests)

    assert asyncio.run(go()) == (302, 1)


def test_a_unix_socket_is_spoken_to_with_a_valid_host_header(tmp_path: Path) -> None:
    async def go() -> Received:
        async with ScriptedAgent(unix_socket=tmp_path / "s") as agent:
            agent.always("/v1/x", Reply(body={}))
            await once(agent.access())
            return agent.requests[0]

    assert asyncio.run(go()).headers["host"] == "localhost"


def test_a_missing_unix_socket_is_told(tmp_path: Path) -> None:
    path = tmp_path / "missing"
    error = failure(lambda _: once(AgentAccess(scheme="unix", socket_path=str(path))))
    assert isinstance(error, AgentUnreachableError)
    assert f"'unix://{path}'" in str(error)
    assert "no such socket" in str(error)


def test_a_refused_connection_names_the_address() -> None:
    port = free_port()
    error = failure(lambda _: once(AgentAccess(port=port), token=Secret(TOKEN)))
    assert isinstance(error, AgentUnreachableError)
    assert f"'http://127.0.0.1:{port}'" in str(error)
    assert "connection refused" in str(error)


@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
def test_an_agent_that_hangs_up_is_unreachable(content: bytes) -> None:
    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Raw(content))
        await once(agent.access(), token=Secret(TOKEN))

    error = failure(talk)
    assert isinstance(error, AgentUnreachableError)
    assert "GET /v1/x" in str(error)


def test_an_answer_that_is_not_http_is_malformed() -> None:
    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Raw(b"\x00\x00\x12\x04\x00 frames of another protocol"))
        await once(agent.access())

    error = failure(talk)
    assert isinstance(error, AgentAnswerError)
    assert error.status == 0
    assert "is not HTTP" in str(error)


def test_an_agent_that_says_nothing_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connect_proxy.consul.blocking_query.TIMEOUT_MARGIN_S", 0.1)

    async def talk(agent: ScriptedAgent) -> None:
        agent.always("/v1/x", Silence())
        await once(agent.access(), token=Secret(TOKEN))

    error = failure(talk)
    assert isinstance(error, AgentUnreachableError)
    assert "within 0.1 s" in str(error)


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_BODY_BYTES", 1000)

    async def talk(agent: ScriptedAgent) -> None:
        agent.script("/v1/x", Reply(body=b"x" * 1001))
        await once(agent.access())

    error = failure(talk)
    assert isinstance(error, AgentAnswerError)
    assert "longer than '1000' bytes" in str(error)


def test_tls_is_verified_against_the_ca_file(files: ServerTls) -> None:
    async def go() -> int:
        async with ScriptedAgent(tls=server_context(files)) as agent:
            agent.always("/v1/x", Reply(body={}))
            return (await once(replace(agent.access(), ca_file=str(files.ca_file)))).status

    assert asyncio.run(go()) == 200


def test_an_unknown_ca_is_told_with_its_remedy(files: ServerTls) -> None:
    error = failure(lambda agent: once(agent.access()), agent=ScriptedAgent(tls=server_context(files)))
    assert isinstance(error, AgentUnreachableError)
    assert "certificate is not accepted" in str(error)
    assert "-ca-file" in str(error)


def test_without_verification_any_certificate_is_accepted(files: ServerTls) -> None:
    async def go() -> int:
        async with ScriptedAgent(tls=server_context(files)) as agent:
            agent.always("/v1/x", Reply(body={}))
            return (await once(replace(agent.access(), verify=False))).status

    assert asyncio.run(go()) == 200


def test_the_tls_server_name_is_what_is_verified(files: ServerTls) -> None:
    def talk(name: str) -> Callable[[ScriptedAgent], Awaitable[HttpAnswer]]:
        def ask(agent: ScriptedAgent) -> Awaitable[HttpAnswer]:
            agent.always("/v1/x", Reply(body={}))
            return once(replace(agent.access(), ca_file=str(files.ca_file), tls_server_name=name))

        return ask

    error = failure(talk("wrong.example"), agent=ScriptedAgent(tls=server_context(files)))
    assert "-tls-server-name" in str(error)

    async def go(name: str) -> int:
        async with ScriptedAgent(tls=server_context(files)) as agent:
            return (await talk(name)(agent)).status

    assert asyncio.run(go("server.dc1.consul")) == 200
    assert asyncio.run(go("server.dc1.consul:8501")) == 200


def test_a_client_certificate_is_shown_to_an_agent_that_asks(files: ServerTls) -> None:
    async def go() -> int:
        async with ScriptedAgent(tls=server_context(files, ask_client=True)) as agent:
            agent.always("/v1/x", Reply(body={}))
            access = replace(
                agent.access(),
                ca_file=str(files.ca_file),
                client_cert=str(files.client_cert_file),
                client_key=str(files.client_key_file),
            )
            return (await once(access)).status

    assert asyncio.run(go()) == 200


def test_an_agent_that_asks_in_vain_is_told_with_its_remedy(files: ServerTls) -> None:
    def talk(agent: ScriptedAgent) -> Awaitable[HttpAnswer]:
        agent.always("/v1/x", Reply(body={}))
        return once(replace(agent.access(), ca_file=str(files.ca_file)))

    error = failure(talk, agent=ScriptedAgent(tls=server_context(files, ask_client=True)))
    assert isinstance(error, AgentUnreachableError)
    assert "-client-cert" in str(error)


def test_tls_spoken_to_a_plain_port_is_the_wrong_scheme() -> None:
    error = failure(lambda agent: once(replace(agent.access(), scheme="https")))
    assert isinstance(error, AgentUnreachableError)
    assert "wrong scheme" in str(error)


def test_plain_http_spoken_to_a_tls_port_hints_at_https(files: ServerTls) -> None:
    error = failure(
        lambda agent: once(replace(agent.access(), scheme="http")),
        agent=ScriptedAgent(tls=server_context(files)),
    )
    assert isinstance(error, AgentUnreachableError)
    assert "https://" in str(error)


def test_unusable_certificate_files_are_told_before_anything_is_asked() -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ConfigurationError):
            HttpTransport(AgentAccess(scheme=scheme, ca_file="/no/such/file"))


def test_closing_ends_requests_under_way_and_refuses_later_ones() -> None:
    async def go() -> list[ConsulError]:
        async with ScriptedAgent() as agent:
            agent.always("/v1/x", Silence())
            transport = HttpTransport(agent.access())
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


def test_many_held_requests_do_not_starve_another() -> None:
    async def go() -> int:
        async with ScriptedAgent() as agent:
            agent.always("/v1/x", Silence())
            agent.always("/v1/y", Reply(body={}))
            transport = HttpTransport(agent.access())
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
