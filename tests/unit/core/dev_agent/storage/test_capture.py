"""A restart: what the API shows before and after, and what sidecars that live through it are given."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.storage.opening import opened
from support.dev_agent_running import RunningAgent, running_agent
from support.eventually import eventually

LEAF = "/v1/agent/connect/ca/leaf/web"
ROOTS = "/v1/agent/connect/ca/roots"
SHOWN = [
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/node-services/node1",
    "/v1/health/state/any",
    "/v1/connect/intentions",
    "/v1/query",
    "/v1/connect/ca/configuration",
]
Use = Callable[[RunningAgent], Awaitable[Any]]


async def life(folder: Path, use: Use, *, grace: float = 60.0, **options: Any) -> Any:
    """One agent on the state in *folder*, from its start to its end."""
    async with running_agent(storage=opened(folder), ca_grace=grace, http_port=0, **options) as agent:
        return await use(agent)


async def crashed(folder: Path, use: Use, copy: Path) -> Any:
    """As :func:`life`; *copy* gets what is on disk before the agent has ended."""

    async def and_copy(agent: RunningAgent) -> Any:
        found = await use(agent)
        shutil.copytree(folder, copy)
        return found

    return await life(folder, and_copy)


async def everything(agent: RunningAgent) -> dict[str, Any]:
    found = {path: await agent.json(path) for path in SHOWN}
    for service in found["/v1/catalog/node-services/node1"]["Services"]:
        if service["ID"] == "consul":
            del service["Port"]  # the agent's own, another one each time
    found["node"] = (await agent.json("/v1/agent/self"))["Config"]
    found["trust domain"] = (await agent.json(ROOTS))["TrustDomain"]
    return found


async def leaf(agent: RunningAgent, **params: Any) -> tuple[str, int]:
    """Serial and index."""
    answer = await agent.http.get(LEAF, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["SerialNumber"], int(answer.headers["X-Consul-Index"])


# ---------------------------------------------------------------- any writes

names = st.sampled_from(["web", "api", "db"])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
opaque = st.dictionaries(words, st.integers() | words | st.lists(st.booleans(), max_size=2), max_size=2)
ttl_checks = st.fixed_dictionaries(
    {"TTL": st.just("1h"), "Status": st.sampled_from(["passing", "warning", "critical"]), "Notes": words}
)
sidecars = st.fixed_dictionaries(
    {
        "Check": ttl_checks,
        "Proxy": st.fixed_dictionaries(
            {
                "Config": opaque,
                "Upstreams": st.lists(
                    st.fixed_dictionaries({"DestinationName": names, "LocalBindPort": st.integers(1, 9)}),
                    max_size=1,
                ),
            }
        ),
    }
)
services = st.fixed_dictionaries(
    {"Name": names, "Port": st.integers(1, 65535)},
    optional={
        "ID": names,
        "Tags": st.lists(words, max_size=2),
        "Meta": st.dictionaries(names, words, max_size=2),
        "Check": ttl_checks,
        "Token": words,
        "Connect": st.fixed_dictionaries({"SidecarService": sidecars}) | st.just({"Native": True}),
    },
)
intentions = st.fixed_dictionaries(
    {
        "SourceName": names | st.just("*"),
        "DestinationName": names | st.just("*"),
        "Action": st.sampled_from(["allow", "deny"]),
    },
    optional={"Description": words, "Meta": st.dictionaries(names, words, max_size=2)},
)
permissions = st.just(
    {"Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/", "Methods": ["GET"]}}]}
)
queries = st.fixed_dictionaries(
    {
        "Name": words,
        "Token": words,
        "Service": st.fixed_dictionaries(
            {"Service": names},
            optional={
                "Tags": st.lists(words, max_size=2),
                "ServiceMeta": st.dictionaries(words, words, max_size=1),
                "Failover": st.just({"NearestN": 3}),
            },
        ),
    }
)
enable = st.sampled_from(["true", "false"])
writes = st.one_of(
    st.tuples(st.just("PUT"), st.just("/v1/agent/service/register"), services),
    st.tuples(st.just("PUT"), names.map("/v1/agent/service/deregister/{}".format), st.none()),
    st.tuples(
        st.just("PUT"),
        st.builds("/v1/agent/service/maintenance/{}?enable={}".format, names, enable),
        st.none(),
    ),
    st.tuples(st.just("PUT"), st.builds("/v1/agent/maintenance?enable={}".format, enable), st.none()),
    st.tuples(
        st.just("PUT"),
        st.just("/v1/agent/check/register"),
        st.builds(lambda check, name: {**check, "Name": name}, ttl_checks, names),
    ),
    st.tuples(
        st.just("PUT"),
        st.builds("/v1/agent/check/{}/{}?note=n".format, st.sampled_from(["pass", "warn", "fail"]), names),
        st.none(),
    ),
    st.tuples(st.just("PUT"), names.map("/v1/agent/check/deregister/{}".format), st.none()),
    st.tuples(st.just("POST"), st.just("/v1/connect/intentions"), intentions),
    st.tuples(
        st.just("PUT"),
        st.builds("/v1/connect/intentions/exact?source={}&destination={}".format, names, names),
        permissions,
    ),
    st.tuples(
        st.just("DELETE"),
        st.builds("/v1/connect/intentions/exact?source={}&destination={}".format, names, names),
        st.none(),
    ),
    st.tuples(st.just("POST"), st.just("/v1/query"), queries),
    st.tuples(
        st.just("PUT"),
        st.just("/v1/connect/ca/configuration"),
        st.sampled_from(["2h", "3h"]).map(lambda it: {"Provider": "consul", "Config": {"LeafCertTTL": it}}),
    ),
)


@settings(max_examples=10)
@given(st.lists(writes, max_size=12), st.booleans())
def test_after_a_restart_the_api_shows_what_it_showed_before(
    asked: list[tuple[str, str, Any]], crash: bool
) -> None:
    async def write(agent: RunningAgent) -> dict[str, Any]:
        for method, path, body in asked:
            answer = await agent.http.request(method, path, json=body)
            # Some are refused, such as a second intention for the same pair: those are no writes.
            assert answer.status_code in {200, 400, 404, 500}, answer.text
        return await everything(agent)

    async def go(folder: Path) -> None:
        copy = folder / "copy"
        before = await crashed(folder / "first", write, copy) if crash else await life(copy, write)
        assert await life(copy, everything) == before

    with TemporaryDirectory() as name:
        (Path(name) / "first").mkdir()
        if not crash:
            (Path(name) / "copy").mkdir()
        asyncio.run(go(Path(name)))


def test_the_next_agent_keeps_its_name_unless_it_is_given_another(tmp_path: Path) -> None:
    async def node(agent: RunningAgent) -> tuple[dict[str, Any], dict[str, Any]]:
        (listed,) = await agent.json("/v1/catalog/nodes")
        return (await agent.json("/v1/agent/self"))["Config"], listed

    async def go() -> None:
        before, _ = await life(tmp_path, node)
        after, listed = await life(tmp_path, node, node="node2")
        assert after == {**before, "NodeName": "node2"}
        assert listed["CreateIndex"] < listed["ModifyIndex"]

    asyncio.run(go())


# ---------------------------------------------------------------- certificates


def test_who_has_a_leaf_keeps_it_until_the_grace_is_over_and_who_has_none_gets_one_at_once(
    tmp_path: Path,
) -> None:
    serial, index = "", 0

    async def has_none(agent: RunningAgent) -> tuple[str, int]:
        return await leaf(agent)

    async def has_one(agent: RunningAgent) -> None:
        asked = asyncio.create_task(leaf(agent, index=index))
        await eventually(lambda: agent.agent.changes.waiting == 2, "a question that is held")
        roots = await agent.json(ROOTS)
        assert [root["Active"] for root in roots["Roots"]] == [False, True]
        fresh, fresh_index = await leaf(agent)
        assert fresh != serial
        assert not asked.done()
        held = await agent.http.get(LEAF, params={"index": 1, "wait": "10ms"})
        assert (held.status_code, "ask again" in held.text) == (500, True)
        assert (await leaf(agent, index=fresh_index - 1))[0] == fresh
        asked.cancel()

    async def released(agent: RunningAgent) -> None:
        renewed, renewed_index = await leaf(agent, index=index)
        assert renewed != serial
        assert renewed_index > index

    async def go() -> None:
        nonlocal serial, index
        serial, index = await life(tmp_path, has_none)
        await life(tmp_path, has_one)
        await life(tmp_path, released, grace=0.01)

    asyncio.run(go())


def test_a_root_is_listed_as_long_as_a_leaf_of_it_is_valid(tmp_path: Path) -> None:
    async def unused(agent: RunningAgent) -> list[str]:
        return [root["ID"] for root in (await agent.json(ROOTS))["Roots"]]

    async def used(agent: RunningAgent) -> list[str]:
        await leaf(agent)
        return await unused(agent)

    async def go() -> None:
        (first,) = await life(tmp_path, unused)
        (second,) = await life(tmp_path, used)
        assert first != second
        assert (await life(tmp_path, used))[0] == second
        both = await life(tmp_path, unused)
        assert both[0] == second
        assert len(both) == 3
        kept = opened(tmp_path).kept
        assert kept is not None
        ends = [root.leaves_until for root in kept.roots]
        hours_72 = datetime.now(UTC) + timedelta(hours=72)
        assert [end is not None and abs(end - hours_72) < timedelta(hours=1) for end in ends] == [
            True,
            True,
            False,
        ]

    asyncio.run(go())


def test_the_operators_key_is_not_kept_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = profile.key_pem(profile.new_key("ec", 256))

    async def give(agent: RunningAgent) -> None:
        body = {"Provider": "consul", "Config": {"PrivateKey": key, "LeafCertTTL": "2h"}}
        answer = await agent.http.put("/v1/connect/ca/configuration", json=body)
        assert answer.status_code == 200

    async def shown(agent: RunningAgent) -> Any:
        return (await agent.json("/v1/connect/ca/configuration"))["Config"]

    async def go() -> None:
        await life(tmp_path, give)
        assert await life(tmp_path, shown) == {"LeafCertTTL": "2h"}

    asyncio.run(go())
    assert "the key that was given to the CA is not kept" in caplog.text
    text = (tmp_path / "server" / "state.json").read_text()
    assert [line for line in key.splitlines() if line in text] == []


def test_a_blocked_question_of_before_is_answered_once(tmp_path: Path) -> None:
    async def index(agent: RunningAgent) -> int:
        return int((await agent.http.get("/v1/connect/intentions")).headers["X-Consul-Index"])

    async def go() -> None:
        before = await life(tmp_path, index)

        async def again(agent: RunningAgent) -> None:
            answer = await agent.http.get("/v1/connect/intentions", params={"index": before})
            now = int(answer.headers["X-Consul-Index"])
            assert now > before

        await life(tmp_path, again)

    asyncio.run(go())


def test_checks_go_on_after_a_restart(tmp_path: Path) -> None:
    async def register(agent: RunningAgent) -> None:
        for name, ttl in (("beat", "1h"), ("missed", "50ms")):
            check = {"Name": name, "TTL": ttl, "Status": "passing"}
            assert (await agent.http.put("/v1/agent/check/register", json=check)).status_code == 200

    async def go_on(agent: RunningAgent) -> None:
        async def status(name: str) -> str:
            return str((await agent.json("/v1/agent/checks"))[name]["Status"])

        index = (await agent.http.get("/v1/health/state/any")).headers["X-Consul-Index"]
        if await status("missed") == "passing":
            await agent.http.get("/v1/health/state/any", params={"index": index})
        assert await status("missed") == "critical"
        assert (await agent.http.put("/v1/agent/check/warn/beat")).status_code == 200
        assert await status("beat") == "warning"

    async def go() -> None:
        await life(tmp_path, register)
        await life(tmp_path, go_on)

    asyncio.run(go())
