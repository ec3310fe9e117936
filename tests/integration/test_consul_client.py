"""The client against real agents: every call, TCP, TLS and unix sockets, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.consul.sidecar_lookup import find_proxy
from connect_proxy.errors import (
    AgentAnswerError,
    AgentUnreachableError,
    NotFoundError,
    PermissionDeniedError,
    RegistrationMissingError,
    UnknownTokenError,
)
from connect_proxy.secret import Secret
from support.acl_tokens import make_token
from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.tls_files import ServerTls, make_server_tls

pytestmark = pytest.mark.integration

T = TypeVar("T")
SIDECAR = {
    "Name": "web",
    "Port": 8080,
    "Connect": {
        "SidecarService": {
            "Checks": [{"Name": "alive", "TTL": "600s", "Status": "passing"}],
            "Proxy": {
                "Config": {"local_connect_timeout_ms": 500},
                "Upstreams": [
                    {"DestinationName": "db", "LocalBindPort": 9191, "Config": {"connect_timeout_ms": 1000}}
                ],
            },
        }
    },
}
PROXY_ID = "web-sidecar-proxy"


def access_to(agent: AgentUnderTest, token: str = "") -> AgentAccess:
    host, _, port = agent.address.rpartition(":")
    return AgentAccess(host=host.strip("[]"), port=int(port), token=Secret(token))


def ask(access: AgentAccess, call: Callable[[ConsulClient], Awaitable[T]]) -> T:
    async def go() -> T:
        client = connect_consul(access)
        try:
            return await call(client)
        finally:
            await client.aclose()

    return asyncio.run(go())


# ---------------------------------------------------------------- the calls


def test_a_sidecars_registration_is_read_and_blocked_on(agent: AgentUnderTest) -> None:
    agent.api.register(SIDECAR)

    async def call(client: ConsulClient) -> None:
        first = await client.service(PROXY_ID)
        assert first.value.destination_service_name == "web"
        assert first.value.local_service_port == 8080
        assert first.value.config["local_connect_timeout_ms"] == 500
        assert [upstream.id for upstream in first.value.upstreams] == ["db"]
        assert first.value.upstreams[0].config["connect_timeout_ms"] == 1000
        held = asyncio.create_task(client.service(PROXY_ID, content_hash=first.content_hash, wait=30))
        await asyncio.sleep(0)
        changed = {**SIDECAR, "Port": 8081}
        await client.register_service(changed)
        second = await asyncio.wait_for(held, 60)
        assert second.content_hash != first.content_hash
        assert second.value.local_service_port == 8081
        unchanged = await client.service(PROXY_ID, content_hash=second.content_hash, wait=0.01)
        assert unchanged == second

    ask(access_to(agent), call)


def test_services_are_listed_by_id(agent: AgentUnderTest) -> None:
    agent.api.register(SIDECAR)
    found = ask(access_to(agent), lambda client: client.services())
    assert {name: one.kind for name, one in found.items()} == {"web": "", PROXY_ID: "connect-proxy"}


def test_an_unknown_service_is_not_found(agent: AgentUnderTest) -> None:
    with pytest.raises(NotFoundError, match="no/such"):
        ask(access_to(agent), lambda client: client.service("no/such"))


def test_roots_and_leaf_are_read_and_blocked_on(agent: AgentUnderTest) -> None:
    async def call(client: ConsulClient) -> None:
        roots = await client.roots()
        assert roots.value.trust_domain.endswith(".consul")
        assert roots.value.active_root_id in {root.id for root in roots.value.roots}
        assert roots.value.pem.startswith("-----BEGIN CERTIFICATE-----")
        leaf = await client.leaf("web")
        assert leaf.value.uri == f"spiffe://{roots.value.trust_domain}/ns/default/dc/dc1/svc/web"
        assert leaf.value.valid_after < leaf.value.valid_before
        assert "PRIVATE KEY" in leaf.value.private_key.reveal()
        assert (await client.roots(index=roots.index, wait=0.01)).value == roots.value
        assert (await client.leaf("web", index=leaf.index, wait=0.01)).value == leaf.value

    ask(access_to(agent), call)


def test_intentions_are_listed_matched_and_blocked_on(agent: AgentUnderTest) -> None:
    async def call(client: ConsulClient) -> None:
        before = await client.intentions()
        held = asyncio.create_task(client.intentions(index=max(1, before.index), wait=30))
        await asyncio.to_thread(agent.api.set_intention, "api", "web", "deny")
        after = await asyncio.wait_for(held, 60)
        assert after.index > before.index
        await asyncio.to_thread(agent.api.set_intention, "*", "web", "allow")
        matched = await client.intentions_for("web")
        assert [(rule.source_name, rule.allow) for rule in matched] == [("api", False), ("*", True)]
        assert await client.intentions_for("other") == ()
        trust_domain = (await client.roots()).value.trust_domain
        for source, authorized in (("api", False), ("shop", True)):
            uri = f"spiffe://{trust_domain}/ns/default/dc/dc1/svc/{source}"
            decision = f"Matched intention: {'ALLOW' if authorized else 'DENY'}"
            # The agent decides from a cache, which follows what was written a moment later.
            async with asyncio.timeout(60):
                answer = await client.authorize(target="web", client_uri=uri, serial="08")
                while not answer.reason.startswith(decision):
                    await asyncio.sleep(0.02)
                    answer = await client.authorize(target="web", client_uri=uri, serial="08")
            assert answer.authorized is authorized

    ask(access_to(agent), call)


def test_an_identity_that_is_none_is_an_answer_error(agent: AgentUnderTest) -> None:
    with pytest.raises(AgentAnswerError) as failure:
        ask(
            access_to(agent),
            lambda client: client.authorize(target="web", client_uri="tubes", serial=""),
        )
    assert failure.value.status == 400


def test_instances_tell_health_and_identity(agent: AgentUnderTest) -> None:
    agent.api.register(SIDECAR)
    agent.api.register({"ID": "web-native", "Name": "web", "Port": 7, "Connect": {"Native": True}})
    wait_for_catalog(agent.api)

    async def call(client: ConsulClient) -> None:
        before = await client.instances("web")
        assert {one.destination_service for one in before.value} == {"web"}
        assert {one.service_id: one.passing for one in before.value} == {PROXY_ID: True, "web-native": True}
        held = asyncio.create_task(client.instances("web", index=before.index, wait=30))
        await client.update_check(f"service:{PROXY_ID}", status="critical", output="broken")
        after = await asyncio.wait_for(held, 60)
        assert {one.service_id: one.passing for one in after.value} == {PROXY_ID: False, "web-native": True}

    ask(access_to(agent), call)


def test_a_prepared_query_is_executed(agent: AgentUnderTest) -> None:
    agent.api.register({"ID": "db-1", "Name": "db", "Port": 7, "Connect": {"Native": True}})
    created = agent.api.post("/v1/query", {"Name": "nearest-db", "Service": {"Service": "db"}})
    assert created.status == 200
    try:
        found = wait_until(
            lambda: ask(access_to(agent), lambda client: client.execute_query("nearest-db")),
            "the instance",
        )
        assert [(one.port, one.destination_service) for one in found] == [(7, "db")]
        with pytest.raises(NotFoundError):
            ask(access_to(agent), lambda client: client.execute_query("no-such-query"))
    finally:
        agent.api.delete(f"/v1/query/{created.json['ID']}")


def test_the_leader_and_the_agent_itself(agent: AgentUnderTest) -> None:
    assert ask(access_to(agent), lambda client: client.leader())
    found = ask(access_to(agent), lambda client: client.agent_self())
    assert found["Config"]["Datacenter"] == "dc1"


def test_services_are_registered_and_deregistered(agent: AgentUnderTest) -> None:
    async def call(client: ConsulClient) -> set[str]:
        await client.register_service({"ID": "a b", "Name": "x", "Port": 1})
        await client.register_service({"ID": "other", "Name": "x", "Port": 2})
        await client.deregister_service("a b")
        return set(await client.services())

    assert ask(access_to(agent), call) == {"other"}


def test_a_proxy_is_found_by_the_service_it_stands_for(agent: AgentUnderTest) -> None:
    agent.api.register(SIDECAR)
    found = ask(access_to(agent), lambda client: find_proxy(client, sidecar_for="WEB"))
    assert found.id == PROXY_ID
    with pytest.raises(RegistrationMissingError, match=f"mean '{PROXY_ID}'"):
        ask(access_to(agent), lambda client: find_proxy(client, proxy_id="web-sidecar"))


def test_a_proxy_that_is_registered_later_is_waited_for(agent: AgentUnderTest) -> None:
    async def call(client: ConsulClient) -> str:
        waiting = asyncio.create_task(find_proxy(client, sidecar_for="web", wait_s=20))
        await asyncio.sleep(0)
        await client.register_service(SIDECAR)
        return (await waiting).id

    assert ask(access_to(agent), call) == PROXY_ID


# ---------------------------------------------------------------- how it is reached


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "consul.sock"
    with RealConsul(folder=tmp_path, unix_socket=path):
        access = AgentAccess(scheme="unix", host="", socket_path=str(path))
        assert ask(access, lambda client: client.leader())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return make_server_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_consul(files: ServerTls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("tls-consul"), tls=files) as consul:
        yield consul


def tls_access(consul: RealConsul, files: ServerTls) -> AgentAccess:
    return replace(
        access_to(consul),
        scheme="https",
        ca_file=str(files.ca_file),
        client_cert=str(files.client_cert_file),
        client_key=str(files.client_key_file),
    )


def test_tls_with_a_client_certificate(tls_consul: RealConsul, files: ServerTls) -> None:
    access = tls_access(tls_consul, files)
    assert ask(access, lambda client: client.leader())
    by_path = replace(access, ca_file="", ca_path=str(files.ca_file.parent / "cas"))
    (files.ca_file.parent / "cas").mkdir(exist_ok=True)
    (files.ca_file.parent / "cas" / "ours").write_bytes(files.ca_file.read_bytes())
    assert ask(by_path, lambda client: client.leader())


def test_the_tls_server_name_is_verified(tls_consul: RealConsul, files: ServerTls) -> None:
    access = tls_access(tls_consul, files)
    named = replace(access, tls_server_name="server.dc1.consul")
    assert ask(named, lambda client: client.leader())
    with pytest.raises(AgentUnreachableError, match="-tls-server-name"):
        ask(replace(access, tls_server_name="server.dc9.consul"), lambda client: client.leader())


def test_an_agent_that_wants_a_client_certificate_says_so(tls_consul: RealConsul, files: ServerTls) -> None:
    access = replace(tls_access(tls_consul, files), client_cert="", client_key="")
    with pytest.raises(AgentUnreachableError, match="-client-cert"):
        ask(access, lambda client: client.leader())


def test_an_unknown_ca_names_the_remedy(tls_consul: RealConsul, files: ServerTls) -> None:
    with pytest.raises(AgentUnreachableError, match="-ca-file"):
        ask(replace(tls_access(tls_consul, files), ca_file=""), lambda client: client.leader())
    unverified = replace(tls_access(tls_consul, files), ca_file="", verify=False)
    assert ask(unverified, lambda client: client.leader())


def test_plain_http_on_the_tls_port_is_the_wrong_scheme(tls_consul: RealConsul) -> None:
    with pytest.raises(AgentUnreachableError, match=f"wrong scheme.*'https://{tls_consul.address}'"):
        ask(access_to(tls_consul), lambda client: client.leader())


def test_tls_on_the_plain_port_is_the_wrong_scheme(agent: AgentUnderTest) -> None:
    with pytest.raises(AgentUnreachableError, match=f"wrong scheme.*'http://{agent.address}'"):
        ask(replace(access_to(agent), scheme="https"), lambda client: client.leader())


def test_no_agent_at_all() -> None:
    port = free_port()
    with pytest.raises(AgentUnreachableError, match=f"'http://127.0.0.1:{port}'.*refused"):
        ask(AgentAccess(port=port), lambda client: client.leader())


# ---------------------------------------------------------------- ACLs


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealConsul]:
    with RealConsul(folder=tmp_path_factory.mktemp("acl"), acl=True) as consul:
        yield consul


def test_without_a_token_the_missing_rule_is_named(secured: RealConsul) -> None:
    with pytest.raises(PermissionDeniedError, match=r'no ACL token was given.*service:write on "web"'):
        ask(access_to(secured), lambda client: client.leaf("web"))


def test_an_unknown_token_is_told_without_showing_it(secured: RealConsul) -> None:
    token = "00000000-dead-beef-0000-000000000000"
    with pytest.raises(UnknownTokenError) as failure:
        ask(access_to(secured, token), lambda client: client.leaf("web"))
    assert token not in str(failure.value)


def test_a_token_for_another_service_is_refused(secured: RealConsul) -> None:
    token = make_token(secured.api, 'service "db" { policy = "write" }')
    with pytest.raises(PermissionDeniedError, match="the ACL token lacks a permission"):
        ask(access_to(secured, token.secret), lambda client: client.leaf("web"))
    with pytest.raises(PermissionDeniedError, match="agent:read"):
        ask(access_to(secured, token.secret), lambda client: client.agent_self())


def test_service_write_is_all_that_a_sidecar_needs(secured: RealConsul) -> None:
    rules = """
        service "web" { policy = "write" }
        service "web-sidecar-proxy" { policy = "write" }
        service_prefix "" { policy = "read" }
        node_prefix "" { policy = "read" }
    """
    token = make_token(secured.api, rules)

    async def call(client: ConsulClient) -> None:
        await client.register_service(SIDECAR)
        registration = await find_proxy(client, sidecar_for="web")
        assert registration.id == PROXY_ID
        assert (await client.leaf("web")).value.service == "web"
        assert (await client.roots()).value.roots
        assert await client.intentions_for("web") == ()
        uri = "spiffe://x.consul/ns/default/dc/dc1/svc/api"
        answer = await client.authorize(target="web", client_uri=uri, serial="08")
        assert not answer.authorized
        await client.deregister_service("web")

    ask(access_to(secured, token.secret), call)


def test_a_new_token_is_in_force_for_the_next_call(secured: RealConsul) -> None:
    token = make_token(secured.api, 'service "web" { policy = "write" }')

    async def call(client: ConsulClient) -> str:
        with pytest.raises(PermissionDeniedError):
            await client.leaf("web")
        client.set_token(Secret(token.secret))
        return (await client.leaf("web")).value.service

    assert ask(access_to(secured), call) == "web"
