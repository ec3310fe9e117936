"""Managed proxies at a real Consul: registered, found, put back; tokens; daemons written for Consul 1.2."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.errors import ProxyTokenRefusedError
from connect_proxy.managed.definitions.configuration import AgentConfiguration, CheckDefinition
from connect_proxy.managed.registrar import PlacedProxy, Registrar
from connect_proxy.managed.tokens import ProxyTokens
from connect_proxy.mesh.registration import Upstream
from connect_proxy.secret import NO_SECRET, Secret
from support.acl_tokens import make_token
from support.agent_api_running import published, running_api
from support.agents import client_environment
from support.applications import echo_server
from support.consul_api import ConsulApi
from support.eventually import eventually
from support.managed_definitions import ORIGIN, configuration, managed_proxy, managed_service
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("consul")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    """ACLs on, default deny."""
    with RealConsul(folder=tmp_path_factory.mktemp("guarded"), acl=True) as running:
        yield running


def access_to(consul: RealConsul, token: str = "") -> AgentAccess:
    return AgentAccess(port=consul.http_port, token=Secret(token or consul.token))


@contextlib.asynccontextmanager
async def client_of(consul: RealConsul, token: str = "") -> AsyncIterator[ConsulClient]:
    client = connect_consul(access_to(consul, token))
    try:
        yield client
    finally:
        await client.aclose()


def one_service(name: str, port: int) -> tuple[AgentConfiguration, list[PlacedProxy]]:
    """Files with one service that has a managed proxy on *port*."""
    proxy = managed_proxy(name, config={"bind_address": "127.0.0.1"})
    return configuration(managed_service(name)), [PlacedProxy(proxy=proxy, port=port)]


# ---------------------------------------------------------------- registrations


def test_a_managed_proxy_is_found_in_the_catalog_and_by_dns(consul: RealConsul) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def register() -> None:
            async with client_of(consul) as client:
                assert await Registrar(client).apply(*one_service("redis", port)) == {}

        asyncio.run(register())
        (found,) = wait_until(lambda: consul.api.get("/v1/catalog/connect/redis").json, "the catalog")
        assert (found["ServiceID"], found["ServicePort"]) == ("redis-proxy", port)
        assert found["ServiceProxy"]["DestinationServiceID"] == "redis"
        # Consul runs a new check at some moment of its first interval of 10 s.
        wait_until(lambda: port in srv_ports(consul, "redis"), "the proxy in DNS", deadline_s=90)


def srv_ports(consul: RealConsul, service: str) -> set[int]:
    host, port = consul.dns_address.split(":")
    question = dns.message.make_query(f"{service}.connect.consul.", dns.rdatatype.SRV)
    answer = dns.query.udp(question, host, port=int(port), timeout=60)
    return {record.port for found in answer.answer for record in found}


def test_what_other_hands_deregistered_comes_back_and_stays(consul: RealConsul) -> None:
    async def scene() -> None:
        async with client_of(consul) as client:
            registrar = Registrar(client)
            await registrar.apply(*one_service("lost", 20071))
            assert await registrar.restore() == frozenset()
            for name in ("lost", "lost-proxy"):
                consul.api.deregister(name)
                assert await registrar.restore() == {name}
                assert await registrar.restore() == frozenset()
            assert consul.api.put("/v1/agent/check/deregister/service:lost-proxy").status == 200
            assert await registrar.restore() == {"lost-proxy"}
            assert {"lost", "lost-proxy"} <= set(consul.api.get("/v1/agent/services").json)
            await registrar.apply(configuration(), [])
            assert "lost" not in consul.api.get("/v1/agent/services").json
            assert "service:lost-proxy" not in consul.api.get("/v1/agent/checks").json

    asyncio.run(scene())


def test_a_check_of_no_service_comes_and_goes(consul: RealConsul) -> None:
    check = CheckDefinition(body={"Name": "disk", "TTL": "10s"}, origin=ORIGIN)

    async def scene() -> None:
        async with client_of(consul) as client:
            registrar = Registrar(client)
            assert await registrar.apply(AgentConfiguration(checks=(check,)), []) == {}
            assert consul.api.put("/v1/agent/check/deregister/disk").status == 200
            assert await registrar.restore() == {"check:disk"}
            await client.deregister_check("disk")
            await registrar.apply(configuration(), [])
            assert "disk" not in consul.api.get("/v1/agent/checks").json
            later = Registrar(client, remembered={"check:disk"})
            assert await later.apply(configuration(), []) == {}

    asyncio.run(scene())


def test_everything_comes_back_by_itself_when_consul_was_restarted(tmp_path: Path) -> None:
    with RealConsul(folder=tmp_path) as consul:

        async def scene() -> None:
            async with client_of(consul) as client:
                registrar = Registrar(client)
                await registrar.apply(*one_service("web", 20072))
                keeping = asyncio.create_task(registrar.keep())
                await asyncio.to_thread(consul.stop)
                await asyncio.to_thread(consul.restart)
                await eventually(
                    lambda: {"web", "web-proxy"} <= set(consul.api.get("/v1/agent/services").json),
                    "both registrations",
                    deadline_s=90,
                )
                keeping.cancel()
                await asyncio.wait({keeping})

        asyncio.run(scene())


def test_a_sidecar_that_consul_expands_gets_the_port_that_it_was_given(consul: RealConsul) -> None:
    async def scene() -> None:
        async with client_of(consul) as client:
            service = managed_service("side", proxied=False, Connect={"SidecarService": {}})
            placed = PlacedProxy(proxy=managed_proxy("side", is_sidecar=True), port=20073)
            registrar = Registrar(client)
            assert await registrar.apply(configuration(service), [placed]) == {}
            assert await registrar.restore() == frozenset()
            sidecar = consul.api.get("/v1/agent/services").json["side-sidecar-proxy"]
            assert sidecar["Port"] == 20073
            await registrar.apply(configuration(), [])

    asyncio.run(scene())


# ---------------------------------------------------------------- tokens


def test_a_token_lives_and_dies_with_its_proxy(guarded: RealConsul) -> None:
    async def scene() -> None:
        async with client_of(guarded) as client:
            tokens = ProxyTokens(client)
            made = await tokens.obtain(managed_proxy("web"))
            shown = guarded.api.get(f"/v1/acl/token/{made.accessor}").json
            assert [one["ServiceName"] for one in shown["ServiceIdentities"]] == ["web"]
            assert (shown["Local"], "web-proxy" in shown["Description"]) == (True, True)

            again = await tokens.obtain(managed_proxy("web"), accessor=made.accessor)
            assert again == made
            own = guarded.api.with_token(made.secret.reveal())
            assert own.get("/v1/agent/connect/ca/leaf/web").status == 200
            assert own.get("/v1/agent/connect/ca/leaf/db").status == 403

            await tokens.delete(made.accessor)
            await tokens.delete(made.accessor)
            # The agent still trusts its cache of the token for a while; the servers do not know it.
            assert guarded.api.get(f"/v1/acl/token/{made.accessor}").status == 403
            replaced = await tokens.obtain(managed_proxy("web"), accessor=made.accessor)
            assert replaced.accessor not in {"", made.accessor}
            await tokens.delete(replaced.accessor)

    asyncio.run(scene())


@pytest.mark.parametrize("rules", ["", 'acl = "read"'])
def test_without_acl_write_the_proxy_is_refused_but_for_a_token_of_its_definition(
    guarded: RealConsul, rules: str
) -> None:
    limited = make_token(guarded.api, rules or 'service "web" { policy = "write" }')

    async def scene() -> None:
        async with client_of(guarded) as client:
            made = await ProxyTokens(client).obtain(managed_proxy("web"))
        async with client_of(guarded, limited.secret) as client:
            tokens = ProxyTokens(client)
            for accessor in ("", made.accessor):
                with pytest.raises(ProxyTokenRefusedError, match="acl:write"):
                    await tokens.obtain(managed_proxy("web"), accessor=accessor)
            own = await tokens.obtain(replace(managed_proxy("web"), token=Secret("own")))
            assert own.secret.reveal() == "own"

    asyncio.run(scene())


def test_with_acls_off_the_token_is_random_and_consul_knows_nothing_of_it(consul: RealConsul) -> None:
    async def scene() -> None:
        async with client_of(consul) as client:
            token = await ProxyTokens(client).obtain(managed_proxy("web"))
            assert token.is_local
            assert token.secret != NO_SECRET

    asyncio.run(scene())


def test_a_registration_uses_its_definitions_token(guarded: RealConsul) -> None:
    rules = 'service_prefix "own" { policy = "write" }'
    token = make_token(guarded.api, rules).secret
    nothing = make_token(guarded.api, 'key "x" { policy = "read" }').secret

    async def scene() -> None:
        async with client_of(guarded, nothing) as client:
            services = configuration(managed_service("own", token=token), managed_service("other"))
            placed = PlacedProxy(proxy=managed_proxy("own"), port=20074)
            failures = await Registrar(client).apply(services, [placed])
            assert set(failures) == {"other"}
        wait_until(lambda: guarded.api.get("/v1/catalog/connect/own").json, "the proxy in the catalog")

    asyncio.run(scene())


# ---------------------------------------------------------------- daemons written for Consul 1.2


SUPPORT = Path(__file__).parents[1] / "support"
DAEMONS = {
    "python": [sys.executable, str(SUPPORT / "daemon_1_2.py")],
    "shell": ["bash", str(SUPPORT / "daemon_1_2.sh")],
}


@contextlib.asynccontextmanager
async def daemon(words: list[str], api_port: int, log: Path) -> AsyncIterator[None]:
    """The program *words* in the environment that Consul 1.2 gave it."""
    environment = client_environment(
        CONNECT_PROXY_ID="web-proxy",
        CONNECT_PROXY_TOKEN="web-token",
        CONSUL_HTTP_ADDR=f"127.0.0.1:{api_port}",
    )
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *words,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


def mesh_context(api: ConsulApi, service: str, folder: Path) -> ssl.SSLContext:
    """TLS as *service* of this mesh."""
    leaf = api.get(f"/v1/agent/connect/ca/leaf/{service}").json
    roots = api.get("/v1/agent/connect/ca/roots").json["Roots"]
    pem = folder / f"{service}.pem"
    pem.write_text(leaf["CertPEM"] + leaf["PrivateKeyPEM"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(pem)
    context.load_verify_locations(cadata="".join(root["RootCert"] for root in roots))
    return context


def echoed(port: int, context: ssl.SSLContext | None, data: bytes) -> bytes:
    """What comes back for *data*; nothing where nobody listens yet, or hangs up."""
    try:
        with contextlib.ExitStack() as open_sockets:
            talking = open_sockets.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            if context:
                talking = open_sockets.enter_context(context.wrap_socket(talking))
            talking.sendall(data)
            answer = b""
            while len(answer) < len(data) and (piece := talking.recv(65536)):
                answer += piece
            return answer
    except OSError:
        return b""


@pytest.mark.parametrize("language", sorted(DAEMONS))
def test_a_daemon_written_for_consul_1_2_serves_the_mesh(
    consul: RealConsul, tmp_path: Path, language: str
) -> None:
    port = free_port()
    context = mesh_context(consul.api, "caller", tmp_path)

    async def scene() -> None:
        with echo_server() as service:
            proxy = managed_proxy("web", service_port=service.port)
            async with running_api(access_to(consul)) as running:
                running.api.publish(
                    [published(proxy, port=port)], files=AgentConfiguration(bind_address="127.0.0.1")
                )
                async with daemon(DAEMONS[language], running.port, tmp_path / "log"):
                    sent = b"through the mesh"
                    answer = lambda: echoed(port, context, sent) == sent  # noqa: E731
                    await asyncio.to_thread(wait_until, answer, "an echo through the mesh")

    asyncio.run(scene())


def test_its_upstreams_and_its_callers_are_those_of_the_mesh(consul: RealConsul, tmp_path: Path) -> None:
    port, local = free_port(), free_port()
    context = mesh_context(consul.api, "stranger", tmp_path)
    consul.api.set_intention("stranger", "web", "deny")

    async def scene() -> None:
        upstream = Upstream(destination_name="web", local_bind_port=local)
        with echo_server() as service:
            proxy = managed_proxy("web", service_port=service.port, upstreams=(upstream,))
            async with running_api(access_to(consul)) as running, client_of(consul) as client:
                running.api.publish(
                    [published(proxy, port=port)], files=AgentConfiguration(bind_address="127.0.0.1")
                )
                config = {"bind_address": "127.0.0.1", "disable_tcp_check": True}
                placed = PlacedProxy(proxy=replace(proxy, config=config), port=port)
                await Registrar(client).apply(configuration(managed_service("web")), [placed])
                async with daemon(DAEMONS["python"], running.port, tmp_path / "log"):
                    answer = lambda: echoed(local, None, b"to itself")  # noqa: E731
                    assert await asyncio.to_thread(wait_until, answer, "an echo") == b"to itself"
                    assert await asyncio.to_thread(echoed, port, context, b"not me") == b""

    try:
        asyncio.run(scene())
    finally:
        consul.api.clear_intentions()
