from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from connect_proxy.consul.client import ConsulClient
from connect_proxy.errors import AgentUnreachableError
from connect_proxy_builtin.authorizer import Authorizer
from connect_proxy_builtin.messages import AuthorizeSource, Decide, ForgetDecisions, Order
from support.builtin_sidecar import OneCallConsul

API = "spiffe://x.consul/ns/default/dc/dc1/svc/api"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (a condition, not an event)
            await asyncio.sleep(0)


def decisions(told: list[Order]) -> list[Decide]:
    return [order for order in told if isinstance(order, Decide)]


def run(consul: OneCallConsul, play: Callable[[Authorizer, list[Order]], object]) -> list[Order]:
    """What the workers were told while *play*, a coroutine function, ran."""
    told: list[Order] = []

    async def main() -> None:
        authorizer = Authorizer(cast(ConsulClient, consul), target="web", post=told.append)
        try:
            await play(authorizer, told)  # type: ignore[misc]
        finally:
            await authorizer.aclose()

    asyncio.run(main())
    return told


def test_consuls_answer_reaches_the_workers() -> None:
    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))

    (decision,) = decisions(run(OneCallConsul(), play))
    assert decision == Decide(source=API, allowed=True, reason="api to web by the test")


def test_many_questions_at_once_are_one_request() -> None:
    consul = OneCallConsul()

    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        for _ in range(50):
            authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: len(decisions(told)) == 2)

    run(consul, play)
    assert consul.questions == ["api"]


def test_changed_intentions_void_every_decision_and_are_looked_at_again_soon() -> None:
    consul = OneCallConsul()

    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))
        authorizer.intentions_changed()
        assert ForgetDecisions() in told
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: len(consul.questions) == 2)
        await until(lambda: told.count(ForgetDecisions()) >= 2)

    run(consul, play)


def test_an_answer_from_before_the_change_is_asked_for_again() -> None:
    consul = OneCallConsul()
    authorizers: list[Authorizer] = []

    def change_meanwhile(_service: str) -> bool:
        if len(consul.questions) == 1:
            authorizers[0].intentions_changed()
            return True
        return False

    consul.decide = change_meanwhile

    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        authorizers.append(authorizer)
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))

    (decision,) = decisions(run(consul, play))
    assert not decision.allowed


def test_without_consul_an_unknown_source_is_refused_for_now() -> None:
    consul = OneCallConsul(decide=lambda _service: AgentUnreachableError("no agent at '127.0.0.1:8500'"))

    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))
        assert authorizer.unanswered_since is not None

    (decision,) = decisions(run(consul, play))
    assert (decision.allowed, decision.lasting) == (False, False)
    assert "127.0.0.1:8500" in decision.reason


def test_without_consul_the_last_answer_stands_and_it_is_asked_on() -> None:
    consul = OneCallConsul()

    async def play(authorizer: Authorizer, told: list[Order]) -> None:
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: decisions(told))
        consul.decide = lambda _service: AgentUnreachableError("away")
        authorizer.intentions_changed()
        authorizer.asked(AuthorizeSource(source=API, serial="01"))
        await until(lambda: len(decisions(told)) == 2)
        assert decisions(told)[-1].allowed
        consul.decide = lambda _service: False
        await until(lambda: not decisions(told)[-1].allowed)
        assert authorizer.unanswered_since is None

    run(consul, play)
