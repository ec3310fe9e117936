"""What only the transport for TLS does; the rest stands in ``test_exchange``."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.request import HttpAnswer
from connect_proxy.consul.transport import HttpTransport
from connect_proxy.errors import AgentUnreachableError, ConfigurationError
from support.scripted_agent import Reply, ScriptedAgent
from support.tls_files import ServerTls, make_server_tls
from support.transports import Asking, server_context

once, failure = Asking(HttpTransport).once, Asking(HttpTransport).failure


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


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


def test_a_server_name_that_cannot_be_is_told_by_its_setting() -> None:
    with pytest.raises(ConfigurationError, match="CONSUL_TLS_SERVER_NAME"):
        HttpTransport(AgentAccess(scheme="https", tls_server_name=".consul"))


def test_unusable_certificate_files_are_told_before_anything_is_asked() -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ConfigurationError):
            HttpTransport(AgentAccess(scheme=scheme, ca_file="/no/such/file"))
