"""Which tokens are deleted, when Consul is asked again, and what is said of it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from connect_proxy.consul.client import connect_consul
from connect_proxy.managed.made_tokens import FIRST_PAUSE_S, REFUSED_PAUSE_S, MadeTokens
from connect_proxy.managed.tokens import ProxyTokens
from support.scripted_agent import Raw, Reply, ScriptedAgent, text

DELETED = Reply(body=True)
DENIED = text(403, "Permission denied")


class Host:
    """Tokens in front of a Consul that answers as it is told; a clock; what was put on disk."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent
        self.client = connect_consul(agent.access("agents"))
        self.written: list[frozenset[str]] = []
        self.now = 1000.0

    def tokens(self, *remembered: str) -> MadeTokens:
        return MadeTokens(
            ProxyTokens(self.client),
            remembered=remembered,
            remember=self.written.append,
            clock=lambda: self.now,
        )

    def answer(self, accessor: str, reply: Reply | Raw) -> None:
        self.agent.always(f"/v1/acl/token/{accessor}", reply)

    def asked(self) -> list[str]:
        """Accessors whose deletion was asked for since the last call."""
        asked = [request.path.rpartition("/")[2] for request in self.agent.requests]
        self.agent.requests.clear()
        return asked


def on_a_host(use: Callable[[Host], Awaitable[None]]) -> None:
    async def go() -> None:
        async with ScriptedAgent() as agent:
            host = Host(agent)
            try:
                await use(host)
            finally:
                await host.client.aclose()

    asyncio.run(go())


def test_what_is_not_used_any_more_is_deleted_and_forgotten() -> None:
    async def use(host: Host) -> None:
        tokens = host.tokens("a", "", "b")
        tokens.note("c")
        tokens.save()
        tokens.save()
        assert host.written == [{"a", "b", "c"}]
        host.answer("a", DELETED)
        await tokens.delete_all_but({"b", "c", "never made"})
        assert host.asked() == ["a"]
        assert host.written[1:] == [{"b", "c"}]
        await tokens.delete_all_but({"b", "c"})
        assert host.asked() == []
        assert (tokens.left, tokens.is_due) == (frozenset(), False)

    on_a_host(use)


@pytest.mark.parametrize("away", [Raw(), text(500, "No cluster leader")])
def test_while_consul_is_away_it_is_tried_whenever_asked_and_said_once(
    caplog: pytest.LogCaptureFixture, away: Reply | Raw
) -> None:
    async def use(host: Host) -> None:
        tokens = host.tokens("a", "b")
        for name in ("a", "b"):
            host.answer(name, away)
        for _ in range(2):
            await tokens.delete_all_but(())
            assert set(host.asked()) == {"a"}  # one is enough to know
            assert tokens.left == {"a", "b"}
            assert tokens.is_due
        assert host.written == []
        for name in ("a", "b"):
            host.answer(name, DELETED)
        await tokens.delete_all_but(())
        assert host.written == [frozenset()]
        assert caplog.text.count("the tokens with accessors a, b are still to be deleted") == 1

    on_a_host(use)


@pytest.mark.parametrize("refusal", [DENIED, text(401, "ACL support disabled"), text(500, "no")])
def test_what_is_refused_is_said_once_and_tried_rarely(
    caplog: pytest.LogCaptureFixture, refusal: Reply
) -> None:
    async def use(host: Host) -> None:
        tokens = host.tokens("a", "b")
        for name in ("a", "b", "c"):
            host.answer(name, refusal)
        for _ in range(3):
            await tokens.delete_all_but(())
            host.now += 3
        assert host.asked() == ["a"]
        assert not tokens.is_due
        assert caplog.text.count("left behind") == 1
        host.now += REFUSED_PAUSE_S
        assert tokens.is_due
        await tokens.delete_all_but(())
        assert host.asked() == ["a"]
        assert caplog.text.count("left behind") == 1
        assert host.written == []
        host.now += FIRST_PAUSE_S
        assert not tokens.is_due  # the pauses grow

    on_a_host(use)


def test_a_refusal_names_the_missing_rule(caplog: pytest.LogCaptureFixture) -> None:
    async def use(host: Host) -> None:
        host.answer("a", DENIED)
        await host.tokens("a").delete_all_but(())

    on_a_host(use)
    assert "the token with accessor a is left behind" in caplog.text
    assert "it needs acl:write" in caplog.text


def test_a_reload_tries_again_what_was_refused() -> None:
    async def use(host: Host) -> None:
        tokens = host.tokens("a")
        host.answer("a", DENIED)
        await tokens.delete_all_but(())
        host.answer("a", DELETED)
        tokens.retry()
        await tokens.delete_all_but(())
        assert host.asked() == ["a", "a"]
        assert host.written == [frozenset()]

    on_a_host(use)


def test_what_is_used_again_is_not_deleted_when_its_time_comes() -> None:
    async def use(host: Host) -> None:
        tokens = host.tokens("a")
        host.answer("a", DENIED)
        await tokens.delete_all_but(())
        host.now += REFUSED_PAUSE_S
        await tokens.delete_all_but({"a"})
        assert host.asked() == ["a"]
        assert (tokens.left, tokens.is_due) == (frozenset(), False)

    on_a_host(use)


def test_of_many_a_few_are_named(caplog: pytest.LogCaptureFixture) -> None:
    async def use(host: Host) -> None:
        host.answer("a0", DENIED)
        await host.tokens(*(f"a{number}" for number in range(8))).delete_all_but(())

    on_a_host(use)
    assert "the tokens with accessors a0, a1, a2, a3, a4 and 3 more are left behind" in caplog.text
