import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.consul.blocking_query import Backoff
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.mesh.registration import Registration
from connect_proxy.snapshot.settings import WatchSettings
from connect_proxy.snapshot.snapshot import ProxySnapshot, RegistrationState
from connect_proxy.snapshot.watcher import SnapshotWatcher
from support import consul_answers
from support.eventually import eventually
from support.scripted_agent import Reply, ScriptedAgent, Silence, text

PROXY = "/v1/agent/service/web-sidecar-proxy"
ROOTS = "/v1/agent/connect/ca/roots"
LEAF = "/v1/agent/connect/ca/leaf/web"
LIST = "/v1/connect/intentions"
MATCH = "/v1/connect/intentions/match"
AUTHORIZE = "/v1/agent/connect/authorize"
DB = "/v1/health/connect/db"
TO_DB = {"DestinationName": "db", "LocalBindPort": 9191}
TO_CACHE = {"DestinationName": "cache", "LocalBindPort": 9192, "Datacenter": "dc2"}
TO_QUERY = {"DestinationName": "geo", "DestinationType": "prepared_query", "LocalBindPort": 9193}
QUICK = WatchSettings(
    poll_s=0.02,
    token_poll_s=0.01,
    backoff=Backoff(quick_s=0.01, first_s=0.02, ceiling_s=0.05),
    absent=Backoff(quick_s=0.01, first_s=0.02, ceiling_s=0.05),
)
"""Blocking queries as long as in the program: a change has to wake them."""


class Scene:
    """A mesh at a scripted agent and a watcher of web's sidecar."""

    def __init__(self, agent: ScriptedAgent, client: ConsulClient, watcher: SnapshotWatcher) -> None:
        self.agent = agent
        self.client = client
        self.watcher = watcher

    async def snapshot(
        self, condition: Callable[[ProxySnapshot], object] = lambda snapshot: True
    ) -> ProxySnapshot:
        """The first snapshot from now on for which *condition* is true."""

        async def wait() -> ProxySnapshot:
            async for snapshot in self.watcher.subscribe():
                if condition(snapshot):
                    return snapshot
            message = "the watcher has ended"
            raise AssertionError(message)

        return await asyncio.wait_for(wait(), 60)


def put_mesh(agent: ScriptedAgent, *upstreams: dict[str, Any]) -> None:
    agent.put(PROXY, consul_answers.sidecar(upstreams=list(upstreams)), by_hash=True)
    agent.put(ROOTS, consul_answers.roots("r1"))
    agent.put(LEAF, consul_answers.leaf())
    agent.put(LIST, [])
    agent.put(MATCH, {"web": None})
    agent.put(AUTHORIZE, {"Authorized": True, "Reason": "ACLs disabled, access is allowed by default"})
    agent.put(DB, [consul_answers.instance("db")])


def play(
    script: Callable[[Scene], Awaitable[None]],
    *upstreams: dict[str, Any],
    settings: WatchSettings = QUICK,
    token: str = "",
    token_file: str = "",
    prepare: Callable[[ScriptedAgent], None] = lambda agent: None,
) -> None:
    """Run *script* beside the watcher; afterwards no task may be left."""

    async def go() -> None:
        async with ScriptedAgent() as agent:
            put_mesh(agent, *upstreams)
            prepare(agent)
            client = connect_consul(agent.access(token))
            registration = Registration(
                id="web-sidecar-proxy", name="web-sidecar-proxy", destination_service_name="web"
            )
            watcher = SnapshotWatcher(client, registration, token_file=token_file, settings=settings)
            before = asyncio.all_tasks()
            running = asyncio.create_task(watcher.run())
            try:
                await script(Scene(agent, client, watcher))
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                left = [task for task in asyncio.all_tasks() - before if not _is_connection(task)]
                await client.aclose()
            assert running.cancelled()
            assert left == []

    asyncio.run(go())


def _is_connection(task: "asyncio.Task[Any]") -> bool:
    """The scripted agent's own tasks."""
    return "ScriptedAgent" in repr(task.get_coro())


def test_the_first_snapshot_holds_everything() -> None:
    async def script(scene: Scene) -> None:
        snapshot = await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        assert snapshot.registration.destination_service_name == "web"
        assert snapshot.registration_state is RegistrationState.REGISTERED
        assert snapshot.roots.trust_domain == consul_answers.TRUST_DOMAIN
        assert snapshot.leaf.serial == "08"
        assert snapshot.intentions == ()
        assert snapshot.default_allow
        assert [one.port for one in snapshot.endpoints["db"].endpoints] == [21001]
        assert scene.watcher.current is snapshot
        assert scene.watcher.status.generation == snapshot.generation
        assert scene.watcher.status.changed_at is not None

    play(script, TO_DB)


def test_a_broken_upstream_does_not_hold_up_the_start() -> None:
    async def script(scene: Scene) -> None:
        snapshot = await scene.snapshot(lambda one: one.endpoints)
        assert not snapshot.endpoints["db"].known

    play(script, TO_DB, prepare=lambda agent: agent.always(DB, Silence()))


@pytest.mark.parametrize("missing", [ROOTS, LEAF, MATCH])
def test_nothing_is_delivered_before_a_part_that_everything_needs(missing: str) -> None:
    async def script(scene: Scene) -> None:
        await eventually(lambda: len(scene.agent.asked(missing)) >= 3, "some tries")
        assert scene.watcher.current is None
        assert scene.watcher.status.generation == 0
        assert scene.watcher.status.failing
        scene.agent.always(missing, None)
        await scene.snapshot()
        await eventually(lambda: not scene.watcher.status.failing, "recovery")

    play(script, prepare=lambda agent: agent.always(missing, text(500, "broken")))


def test_upstreams_are_asked_about_after_what_everything_needs() -> None:
    async def script(scene: Scene) -> None:
        await eventually(lambda: len(scene.agent.asked(LEAF)) >= 3, "some tries")
        assert scene.agent.asked(DB) == []
        scene.agent.always(LEAF, None)
        await scene.snapshot(lambda one: one.endpoints["db"].known)

    play(script, TO_DB, prepare=lambda agent: agent.always(LEAF, text(500, "broken")))


def test_the_first_snapshot_does_not_wait_for_quiet() -> None:
    settings = WatchSettings(quiet_s=0.5, longest_s=600)

    async def script(scene: Scene) -> None:
        async def stir() -> None:
            for number in range(100_000):
                scene.agent.put(ROOTS, consul_answers.roots(f"r{number}"))
                await asyncio.sleep(0.001)

        stirring = asyncio.create_task(stir())
        await scene.snapshot()
        stirring.cancel()
        await asyncio.gather(stirring, return_exceptions=True)

    play(script, settings=settings)


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (ROOTS, consul_answers.roots("r1", "r2"), "roots"),
        (LEAF, consul_answers.leaf(serial="09"), "leaf"),
        (DB, [], "endpoints"),
    ],
)
def test_a_change_is_delivered_and_the_other_parts_stay_the_same(path: str, value: Any, part: str) -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        scene.agent.put(path, value)
        second = await scene.snapshot(lambda one: one is not first)
        assert second.generation > first.generation
        for name in ("registration", "roots", "leaf", "intentions", "endpoints"):
            assert (getattr(second, name) is getattr(first, name)) == (name != part), name

    play(script, TO_DB)


def test_a_change_of_any_intention_raises_their_generation() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot()
        scene.agent.put(MATCH, {"web": [consul_answers.intention("api", "web", "deny")]})
        scene.agent.put(LIST, [consul_answers.intention("api", "web", "deny")])
        second = await scene.snapshot(lambda one: one.intentions)
        assert [(rule.source_name, rule.allow) for rule in second.intentions] == [("api", False)]
        assert second.intentions_generation > first.intentions_generation

    play(script)


def test_changes_close_together_are_delivered_once() -> None:
    settings = WatchSettings(quiet_s=1, longest_s=60)

    async def script(scene: Scene) -> None:
        first = await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        scene.agent.put(ROOTS, consul_answers.roots("r2"))
        scene.agent.put(LEAF, consul_answers.leaf(serial="09"))
        scene.agent.put(DB, [])
        second = await scene.snapshot(lambda one: one is not first)
        assert second.generation == first.generation + 1
        assert second.leaf.serial == "09"
        assert second.roots.active_root_id == "r2"
        assert second.endpoints["db"].endpoints == ()

    play(script, TO_DB, settings=settings)


def test_changes_without_end_are_delivered_all_the_same() -> None:
    settings = WatchSettings(quiet_s=0.2, longest_s=0.4)

    async def script(scene: Scene) -> None:
        first = await scene.snapshot()

        async def stir() -> None:
            for number in range(10_000):
                scene.agent.put(ROOTS, consul_answers.roots(f"r{number}"))
                await asyncio.sleep(0.05)

        stirring = asyncio.create_task(stir())
        await scene.snapshot(lambda one: one is not first)
        stirring.cancel()
        await asyncio.gather(stirring, return_exceptions=True)

    play(script, settings=settings)


def test_what_changed_back_in_between_is_not_delivered() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        asked = len(scene.agent.asked(DB))
        scene.agent.put(DB, [consul_answers.instance("db")])
        await eventually(lambda: len(scene.agent.asked(DB)) > asked, "the next question")
        scene.agent.put(ROOTS, consul_answers.roots("r2"))
        second = await scene.snapshot(lambda one: one.roots.active_root_id == "r2")
        assert second.generation == first.generation + 1
        assert second.endpoints is first.endpoints

    play(script, TO_DB)


def test_a_vanished_registration_is_told_and_taken_up_again() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot()
        scene.agent.remove(PROXY)
        gone = await scene.snapshot(lambda one: one.registration_state is RegistrationState.UNREGISTERED)
        assert gone.registration is first.registration
        assert scene.watcher.status.failing == ()
        scene.agent.put(PROXY, consul_answers.sidecar(), by_hash=True)
        back = await scene.snapshot(lambda one: one.registration_state is RegistrationState.REGISTERED)
        assert back.generation > gone.generation

    play(script)


def test_upstreams_are_added_and_removed_while_running() -> None:
    async def script(scene: Scene) -> None:
        await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        scene.agent.put("/v1/health/connect/cache", [consul_answers.instance("cache", port=7)])
        scene.agent.put(PROXY, consul_answers.sidecar(upstreams=[TO_CACHE]), by_hash=True)
        second = await scene.snapshot(
            lambda one: list(one.endpoints) == ["cache?dc=dc2"] and one.endpoints["cache?dc=dc2"].known
        )
        assert [one.port for one in second.endpoints["cache?dc=dc2"].endpoints] == [7]
        assert scene.agent.asked("/v1/health/connect/cache")[0].params["dc"] == "dc2"
        asked = len(scene.agent.asked(DB))
        scene.agent.put(DB, [])
        scene.agent.put(ROOTS, consul_answers.roots("r2"))
        await scene.snapshot(lambda one: one.roots.active_root_id == "r2")
        assert len(scene.agent.asked(DB)) == asked

    play(script, TO_DB)


def test_many_upstreams_are_all_kept_fresh_with_few_questions_held() -> None:
    names = [f"up{number}" for number in range(40)]
    upstreams = [
        {"DestinationName": name, "LocalBindPort": 9000 + number} for number, name in enumerate(names)
    ]
    settings = WatchSettings(held_upstreams=2, poll_s=0.02)

    def prepare(agent: ScriptedAgent) -> None:
        for name in names:
            agent.put(f"/v1/health/connect/{name}", [])

    async def script(scene: Scene) -> None:
        await scene.snapshot(
            lambda one: one.endpoints and all(found.known for found in one.endpoints.values())
        )
        for name in names:
            scene.agent.put(f"/v1/health/connect/{name}", [consul_answers.instance(name)])
        await scene.snapshot(lambda one: all(found.endpoints for found in one.endpoints.values()))

    play(script, *upstreams, settings=settings, prepare=prepare)


def test_a_removed_upstream_that_failed_is_no_failure_any_more() -> None:
    async def script(scene: Scene) -> None:
        await eventually(lambda: scene.watcher.status.failing == ("upstream db",), "the failure")
        assert scene.watcher.status.stale_since is None
        scene.agent.put(PROXY, consul_answers.sidecar(), by_hash=True)
        await eventually(lambda: scene.watcher.status.failing == (), "its end")

    play(script, TO_DB, prepare=lambda agent: agent.always(DB, text(500, "No path to datacenter")))


def test_a_prepared_query_is_polled() -> None:
    path = "/v1/query/geo/execute"

    async def script(scene: Scene) -> None:
        key = "prepared_query:geo"
        await eventually(lambda: scene.watcher.status.failing == (f"upstream {key}",), "the failure")
        assert not (await scene.snapshot(lambda one: key in one.endpoints)).endpoints[key].known
        result = {"Service": "db", "Nodes": [consul_answers.instance("db", port=5)]}
        scene.agent.always(path, Reply(body=result))
        found = await scene.snapshot(lambda one: one.endpoints[key].known)
        assert [one.port for one in found.endpoints[key].endpoints] == [5]
        scene.agent.always(path, Reply(body={**result, "Nodes": []}))
        await scene.snapshot(lambda one: not one.endpoints[key].endpoints)

    play(script, TO_QUERY, prepare=lambda agent: agent.always(path, text(404, "Query not found")))


def test_another_destination_takes_its_own_leaf_and_intentions() -> None:
    async def script(scene: Scene) -> None:
        await scene.snapshot()
        scene.agent.put("/v1/agent/connect/ca/leaf/shop", consul_answers.leaf("shop"))
        scene.agent.put(MATCH, {"shop": [consul_answers.intention("api", "shop", "deny")], "web": None})
        scene.agent.put(PROXY, consul_answers.sidecar(destination="shop"), by_hash=True)
        other = await scene.snapshot(lambda one: one.registration.destination_service_name == "shop")
        assert other.leaf.service == "shop"
        assert [rule.destination_name for rule in other.intentions] == ["shop"]

    play(script)


def test_an_outage_keeps_the_last_snapshot_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot(lambda one: one.endpoints and one.endpoints["db"].known)
        assert scene.watcher.status.stale_since is None
        await scene.agent.stop()
        every = ("intentions", "leaf", "registration", "roots", "upstream db")
        await eventually(lambda: scene.watcher.status.failing == every, "all failures")
        status = scene.watcher.status
        assert status.stale_since is not None
        assert f"127.0.0.1:{scene.agent.port}" in status.last_error
        assert scene.watcher.current is first
        assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
        scene.agent.put(LEAF, consul_answers.leaf(serial="0a"))
        await scene.agent.start()
        await scene.snapshot(lambda one: one.leaf.serial == "0a")
        await eventually(lambda: scene.watcher.status.failing == (), "recovery")
        assert scene.watcher.status.stale_since is None
        assert scene.watcher.status.last_error == ""

    play(script, TO_DB)


def test_an_agent_that_restarted_with_a_lower_index_is_believed() -> None:
    async def script(scene: Scene) -> None:
        scene.agent.put(ROOTS, consul_answers.roots("r9"), index=1000)
        await scene.snapshot(lambda one: one.roots.active_root_id == "r9")
        await scene.agent.stop()
        scene.agent.put(ROOTS, consul_answers.roots("r10"), index=3)
        await scene.agent.start()
        await scene.snapshot(lambda one: one.roots.active_root_id == "r10")

    play(script)


def test_a_refused_token_is_told_and_a_new_one_in_its_file_heals_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    # A failing query would wait for ten minutes: only the new token can wake it.
    patient = WatchSettings(token_poll_s=0.01, backoff=Backoff(quick_s=600, first_s=600, ceiling_s=600))

    async def script(scene: Scene) -> None:
        await eventually(lambda: scene.watcher.status.token_refused, "the refusal")
        await eventually(lambda: "leaf" in scene.watcher.status.failing, "the leaf's refusal")
        path.write_text("fresh")
        await scene.snapshot()
        await eventually(lambda: not scene.watcher.status.token_refused, "recovery")
        assert scene.client.access.token.reveal() == "fresh"

    play(
        script,
        settings=patient,
        token="old",
        token_file=str(path),
        prepare=lambda agent: setattr(agent, "valid_tokens", {"fresh"}),
    )


def test_a_refresh_asks_at_once_whatever_waits_to_be_asked_again() -> None:
    patient = WatchSettings(backoff=Backoff(quick_s=600, first_s=600, ceiling_s=600))

    async def script(scene: Scene) -> None:
        await eventually(lambda: scene.watcher.status.failing == ("roots",), "the failure")
        scene.agent.always(ROOTS, None)
        scene.watcher.refresh()
        await scene.snapshot()

    play(script, settings=patient, prepare=lambda agent: agent.always(ROOTS, text(500, "broken")))


def test_a_token_that_changed_before_the_start_is_read_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("fresh")

    async def script(scene: Scene) -> None:
        await scene.snapshot()
        assert {request.headers["x-consul-token"] for request in scene.agent.requests} == {"fresh"}

    play(script, token="old", token_file=str(path))


def test_an_expired_leaf_stays_but_is_told() -> None:
    async def script(scene: Scene) -> None:
        snapshot = await scene.snapshot()
        await eventually(lambda: "leaf" in scene.watcher.status.failing, "the end of its life")
        assert "'web' expired at" in scene.watcher.status.last_error
        assert scene.watcher.current is snapshot
        scene.agent.put(LEAF, consul_answers.leaf(serial="09"))
        await scene.snapshot(lambda one: one.leaf.serial == "09")
        await eventually(lambda: scene.watcher.status.failing == (), "recovery")

    play(script, prepare=lambda agent: agent.put(LEAF, consul_answers.leaf(life=timedelta(seconds=4))))


def test_every_reader_gets_the_newest_and_ends_with_the_watcher() -> None:
    ended: list[int] = []

    async def read(watcher: SnapshotWatcher) -> None:
        async for snapshot in watcher.subscribe():
            last = snapshot.generation
        ended.append(last)

    async def go() -> None:
        async with ScriptedAgent() as agent:
            put_mesh(agent)
            client = connect_consul(agent.access())
            registration = Registration(
                id="web-sidecar-proxy", name="web-sidecar-proxy", destination_service_name="web"
            )
            watcher = SnapshotWatcher(client, registration, settings=QUICK)
            readers = [asyncio.create_task(read(watcher)) for _ in range(3)]
            running = asyncio.create_task(watcher.run())
            await eventually(lambda: watcher.current, "a snapshot")
            running.cancel()
            await asyncio.wait_for(asyncio.gather(*readers), 60)
            await asyncio.gather(running, return_exceptions=True)
            assert watcher.current is not None
            assert ended == [watcher.current.generation] * 3
            await client.aclose()

    asyncio.run(go())


@pytest.mark.parametrize("answer", [Reply(body=b"<html>"), Reply(body={"TrustDomain": []})])
def test_garbage_is_a_failure_that_is_told_and_survived(answer: Reply) -> None:
    async def script(scene: Scene) -> None:
        first = await scene.snapshot()
        scene.agent.always(ROOTS, answer)
        await eventually(lambda: scene.watcher.status.failing == ("roots",), "the failure")
        assert f"GET {ROOTS}" in scene.watcher.status.last_error
        assert scene.watcher.current is first
        scene.agent.always(ROOTS, None)
        await eventually(lambda: scene.watcher.status.failing == (), "recovery")

    play(script)
