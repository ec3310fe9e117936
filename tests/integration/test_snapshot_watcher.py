"""The snapshot watcher against real agents: what changes there arrives here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.blocking_query import Backoff
from connect_proxy.consul.client import connect_consul
from connect_proxy.consul.sidecar_lookup import find_proxy
from connect_proxy.secret import Secret
from connect_proxy.snapshot.settings import WatchSettings
from connect_proxy.snapshot.snapshot import ProxySnapshot, RegistrationState
from connect_proxy.snapshot.watcher import SnapshotWatcher
from support.acl_tokens import delete_token, make_token
from support.agents import AgentUnderTest
from support.embedded_agent import EmbeddedAgent
from support.eventually import eventually
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

QUICK = WatchSettings(
    poll_s=0.2, token_poll_s=0.1, backoff=Backoff(quick_s=0.05, first_s=0.1, ceiling_s=0.5)
)
TO_DB = {"DestinationName": "db", "LocalBindPort": 9191}
TO_QUERY = {"DestinationName": "nearest-db", "DestinationType": "prepared_query", "LocalBindPort": 9192}
TO_OTHER = {"DestinationName": "other", "LocalBindPort": 9193}
DEADLINE_S = 40.0


def web(*upstreams: dict[str, Any]) -> dict[str, Any]:
    proxy = {"Upstreams": list(upstreams)}
    return {"Name": "web", "Port": 8080, "Connect": {"SidecarService": {"Proxy": proxy}}}


DB = {"ID": "db-1", "Name": "db", "Port": 7, "Connect": {"Native": True}}


class Scene:
    def __init__(self, agent: AgentUnderTest, watcher: SnapshotWatcher) -> None:
        self.agent = agent
        self.watcher = watcher

    async def call(self, what: Callable[..., object], *words: Any) -> None:
        """One call of the agent's administrator, beside the watcher."""
        await asyncio.to_thread(what, *words)

    async def until(self, condition: Callable[[ProxySnapshot], object]) -> ProxySnapshot:
        """The first snapshot from now on for which *condition* is true."""

        async def wait() -> ProxySnapshot:
            async for snapshot in self.watcher.subscribe():
                if condition(snapshot):
                    return snapshot
            message = "the watcher has ended"
            raise AssertionError(message)

        return await asyncio.wait_for(wait(), DEADLINE_S)


def play(
    agent: AgentUnderTest,
    script: Callable[[Scene], Awaitable[None]],
    *,
    token: str = "",
    token_file: str = "",
) -> None:
    """Run *script* beside a watcher of web's sidecar, which is registered already."""

    async def go() -> None:
        host, _, port = agent.address.rpartition(":")
        client = connect_consul(AgentAccess(host=host, port=int(port), token=Secret(token)))
        registration = await find_proxy(client, sidecar_for="web", wait_s=10)
        watcher = SnapshotWatcher(client, registration, token_file=token_file, settings=QUICK)
        running = asyncio.create_task(watcher.run())
        try:
            await script(Scene(agent, watcher))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


def test_intentions_are_followed(agent: AgentUnderTest) -> None:
    agent.api.register(web())

    async def script(scene: Scene) -> None:
        first = await scene.until(lambda one: True)
        assert first.default_allow
        await scene.call(agent.api.set_intention, "api", "web", "deny")
        denied = await scene.until(lambda one: one.intentions)
        assert [(rule.source_name, rule.allow) for rule in denied.intentions] == [("api", False)]
        assert denied.intentions_generation > first.intentions_generation
        await scene.call(agent.api.set_intention, "api", "web", "allow")
        await scene.until(lambda one: one.intentions and one.intentions[0].allow)
        await scene.call(agent.api.set_intention, "*", "*", "deny")
        both = await scene.until(lambda one: len(one.intentions) == 2)
        assert [rule.precedence for rule in both.intentions] == [9, 5]
        await scene.call(agent.api.clear_intentions)
        await scene.until(lambda one: not one.intentions and one.default_allow)

    play(agent, script)


def test_instances_of_an_upstream_are_followed(agent: AgentUnderTest) -> None:
    agent.api.register(web(TO_DB))

    async def script(scene: Scene) -> None:
        await scene.until(lambda one: one.endpoints["db"].known and not one.endpoints["db"].endpoints)
        await scene.call(agent.api.register, DB)
        found = await scene.until(lambda one: one.endpoints["db"].endpoints)
        assert [one.port for one in found.endpoints["db"].endpoints] == [7]
        check = {**DB, "Check": {"CheckID": "db-ttl", "TTL": "600s", "Status": "critical"}}
        await scene.call(agent.api.register, check)
        await scene.until(lambda one: [e.passing for e in one.endpoints["db"].endpoints] == [False])
        await scene.call(agent.api.put, "/v1/agent/check/update/db-ttl", {"Status": "passing"})
        await scene.until(lambda one: [e.passing for e in one.endpoints["db"].endpoints] == [True])

    play(agent, script)


def test_a_prepared_query_is_followed(agent: AgentUnderTest) -> None:
    created = agent.api.post("/v1/query", {"Name": "nearest-db", "Service": {"Service": "db"}})
    agent.api.register(web(TO_QUERY))
    key = "prepared_query:nearest-db"

    async def script(scene: Scene) -> None:
        await scene.until(lambda one: one.endpoints[key].known)
        await scene.call(agent.api.register, DB)
        await scene.until(lambda one: [e.port for e in one.endpoints[key].endpoints] == [7])
        await scene.call(agent.api.deregister, "db-1")
        await scene.until(lambda one: not one.endpoints[key].endpoints)

    try:
        play(agent, script)
    finally:
        agent.api.delete(f"/v1/query/{created.json['ID']}")


def test_the_registration_is_followed_and_may_vanish(agent: AgentUnderTest) -> None:
    agent.api.register(web(TO_DB))

    async def script(scene: Scene) -> None:
        await scene.until(lambda one: list(one.endpoints) == ["db"])
        await scene.call(agent.api.register, web(TO_OTHER))
        second = await scene.until(lambda one: list(one.endpoints) == ["other"])
        await scene.call(agent.api.deregister, "web")
        gone = await scene.until(lambda one: one.registration_state is RegistrationState.UNREGISTERED)
        assert gone.registration is second.registration
        await scene.call(agent.api.register, web(TO_DB, TO_OTHER))
        back = await scene.until(lambda one: len(one.endpoints) == 2)
        assert back.registration_state is RegistrationState.REGISTERED

    play(agent, script)


@pytest.mark.parametrize("kind", ["embedded", "consul"])
def test_a_rotated_root_and_its_leaf_arrive(kind: str, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    # A test has no half minute for the spread with which a whole cluster would renew its leaves.
    quick = {"PrivateKey": key.decode(), "LeafCertTTL": "72h", "CSRMaxPerSecond": 1000}
    started = EmbeddedAgent(folder=tmp_path) if kind == "embedded" else RealConsul(folder=tmp_path)
    with started as agent:
        agent.api.register(web())

        async def script(scene: Scene) -> None:
            first = await scene.until(lambda one: True)
            configuration = {"Provider": "consul", "Config": quick}
            await scene.call(agent.api.put, "/v1/connect/ca/configuration", configuration)
            second = await scene.until(lambda one: len(one.roots.roots) == 2)
            assert second.roots.active_root_id != first.roots.active_root_id
            assert [root.id for root in second.roots.roots if not root.active] == [
                first.roots.active_root_id
            ]
            third = await scene.until(lambda one: one.leaf.serial != first.leaf.serial)
            assert third.leaf.private_key != first.leaf.private_key

        play(agent, script)


def test_an_agent_that_dies_and_comes_back(tmp_path: Path) -> None:
    with RealConsul(folder=tmp_path, durable=True) as consul:
        consul.api.register(web(TO_DB))

        async def script(scene: Scene) -> None:
            first = await scene.until(lambda one: one.endpoints["db"].known)
            await scene.call(consul.stop)
            await eventually(lambda: len(scene.watcher.status.failing) == 5, "five failures")
            assert scene.watcher.status.stale_since is not None
            await eventually(lambda: "refused" in scene.watcher.status.last_error, "its reason")
            assert scene.watcher.current is first
            await scene.call(consul.restart)
            await eventually(lambda: not scene.watcher.status.failing, "recovery", deadline_s=DEADLINE_S)
            await scene.call(consul.api.set_intention, "api", "web", "deny")
            second = await scene.until(lambda one: one.intentions)
            assert second.registration is first.registration
            assert second.roots is first.roots

        play(consul, script)


RULES = """
    service "web" { policy = "write" }
    service "web-sidecar-proxy" { policy = "write" }
    service_prefix "" { policy = "read" }
    node_prefix "" { policy = "read" }
"""


def test_default_deny_and_a_token_that_is_replaced_while_running(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with RealConsul(folder=tmp_path / "consul", acl=True) as consul:
        consul.api.register(web(TO_DB))
        first, second = make_token(consul.api, RULES), make_token(consul.api, RULES)
        path.write_text(first.secret)

        async def script(scene: Scene) -> None:
            before = await scene.until(lambda one: one.endpoints["db"].known)
            assert not before.default_allow
            await scene.call(delete_token, consul.api, first)
            # Blocking queries notice at their next answer; this one wakes them.
            await scene.call(consul.api.set_intention, "api", "web", "allow")
            await eventually(lambda: scene.watcher.status.token_refused, "the refusal")
            assert first.secret not in scene.watcher.status.last_error
            path.write_text(second.secret)
            after = await scene.until(lambda one: one.intentions)
            assert after.intentions[0].allow
            await eventually(lambda: not scene.watcher.status.token_refused, "recovery")

        play(consul, script, token=first.secret, token_file=str(path))
