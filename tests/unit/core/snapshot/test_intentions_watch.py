import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from connect_proxy.consul.client import Authorization, connect_consul
from connect_proxy.errors import AgentUnreachableError, PermissionDeniedError
from connect_proxy.mesh.registration import Registration
from connect_proxy.snapshot.assembly import IntentionsPart
from connect_proxy.snapshot.intentions_watch import IntentionsQuery, default_decision
from connect_proxy.snapshot.settings import WatchSettings
from support import consul_answers
from support.manual_clock import ManualClock
from support.scripted_agent import Raw, Reply, Scripted, ScriptedAgent, text

LIST = "/v1/connect/intentions"
MATCH = "/v1/connect/intentions/match"
AUTHORIZE = "/v1/agent/connect/authorize"
DENIED_BY_DEFAULT = {"Authorized": False, "Reason": "Default behavior configured by ACLs"}
ALLOWED_BY_DEFAULT = {"Authorized": True, "Reason": "ACLs disabled, access is allowed by default"}
MATCHED = {"Authorized": True, "Reason": "Matched intention: ALLOW default/* => default/web (ID: x)"}


@dataclass
class Case:
    agent: ScriptedAgent
    query: IntentionsQuery
    clock: ManualClock
    found: list[IntentionsPart] = field(default_factory=list)


def play(scene: Callable[[Case], Awaitable[None]]) -> Case:
    """A scene with an agent that has no intention and denies by default."""

    async def trust_domain() -> str:
        return consul_answers.TRUST_DOMAIN

    async def go() -> Case:
        async with ScriptedAgent() as agent:
            agent.put(LIST, [], index=5)
            agent.put(MATCH, {"web": None})
            agent.put(AUTHORIZE, DENIED_BY_DEFAULT)
            client = connect_consul(agent.access())
            clock, found = ManualClock(randoms=0.5), list[IntentionsPart]()
            query = IntentionsQuery(
                client,
                Registration(id="p", name="p", destination_service_name="web"),
                trust_domain=trust_domain,
                clock=clock,
                settings=WatchSettings(wait_s=0.05, poll_s=10),
                accept=found.append,
            )
            case = Case(agent, query, clock, found)
            try:
                await scene(case)
            finally:
                await client.aclose()
            return case

    return asyncio.run(go())


def test_intentions_and_default_are_handed_on_together() -> None:
    async def scene(case: Case) -> None:
        case.agent.put(MATCH, {"web": [consul_answers.intention("api", "web", "deny")]})
        assert await case.query.ask() == 0

    (part,) = play(scene).found
    assert [rule.source_name for rule in part.intentions] == ["api"]
    assert (part.default_allow, part.index) == (False, 5)


def test_without_a_change_nothing_is_looked_at_again() -> None:
    async def scene(case: Case) -> None:
        await case.query.ask()
        await case.query.ask()
        assert len(case.agent.asked(MATCH)) == 1

    assert len(play(scene).found) == 1


def test_any_change_in_the_list_is_followed_by_a_look() -> None:
    async def scene(case: Case) -> None:
        await case.query.ask()
        case.agent.put(LIST, [consul_answers.intention("x", "y", "allow")], index=8)
        case.agent.put(AUTHORIZE, ALLOWED_BY_DEFAULT)
        await case.query.ask()

    assert [(part.index, part.default_allow) for part in play(scene).found] == [(5, False), (8, True)]


def test_a_look_that_failed_is_repeated_at_once() -> None:
    async def scene(case: Case) -> None:
        await case.query.ask()
        case.agent.put(LIST, [], index=8)
        case.agent.script(MATCH, Raw())
        with pytest.raises(AgentUnreachableError):
            await case.query.ask()
        case.query.start_over()
        await case.query.ask()

    assert [part.index for part in play(scene).found] == [5, 8]


def test_where_the_list_is_refused_match_is_polled() -> None:
    async def scene(case: Case) -> None:
        case.agent.always(LIST, text(403, "Permission denied"))
        case.agent.put(MATCH, {"web": [consul_answers.intention("api", "web", "deny")]})
        assert await case.query.ask() == 10
        case.agent.put(MATCH, {"web": None})
        assert await case.query.ask() == 10
        case.agent.always(LIST, None)
        assert await case.query.ask() == 0

    assert [len(part.intentions) for part in play(scene).found] == [1, 0, 0]


def test_where_match_is_refused_too_it_is_a_failure() -> None:
    async def scene(case: Case) -> None:
        case.agent.always(LIST, text(403, "Permission denied"))
        case.agent.always(MATCH, text(403, "Permission denied"))
        with pytest.raises(PermissionDeniedError):
            await case.query.ask()

    assert play(scene).found == []


def test_a_list_without_an_index_is_polled() -> None:
    async def scene(case: Case) -> None:
        case.agent.always(LIST, Reply(body=[]))
        assert await case.query.ask() == 10

    assert len(play(scene).found) == 1


def test_the_default_is_asked_with_a_caller_that_cannot_exist() -> None:
    async def scene(case: Case) -> None:
        await case.query.ask()
        await case.query._look(index=0)

    bodies = [request.body.decode() for request in play(scene).agent.asked(AUTHORIZE)]
    assert len(set(bodies)) == 2
    assert all(
        f"{consul_answers.TRUST_DOMAIN}/ns/default/dc/dc1/svc/connect-proxy-probe-" in b for b in bodies
    )


def test_an_answer_older_than_the_intentions_is_asked_for_again() -> None:
    async def scene(case: Case) -> None:
        case.agent.script(
            AUTHORIZE, Reply(body=MATCHED), Reply(body=MATCHED), Reply(body=ALLOWED_BY_DEFAULT)
        )
        await case.query.ask()

    case = play(scene)
    assert case.found[0].default_allow
    assert len(case.clock.slept) == 2


def test_an_answer_that_stays_unclear_means_deny() -> None:
    async def scene(case: Case) -> None:
        case.agent.always(AUTHORIZE, Reply(body=MATCHED))
        await case.query.ask()

    assert not play(scene).found[0].default_allow


def test_without_an_answer_the_default_is_deny_and_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(case: Case) -> None:
        case.agent.script(AUTHORIZE, text(403, "Permission denied"), text(500, "broken"))
        await case.query.ask()
        await case.query.ask()
        case.agent.put(AUTHORIZE, ALLOWED_BY_DEFAULT)
        await case.query.ask()

    assert [part.default_allow for part in play(scene).found] == [False, False, True]
    assert len([record for record in caplog.records if "denied" in record.getMessage()]) == 1


@pytest.mark.parametrize("reply", [text(500, "broken"), Raw(), Reply(body=MATCHED)])
def test_while_consul_does_not_say_its_last_word_stands_and_new_intentions_arrive(
    reply: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(case: Case) -> None:
        case.agent.put(AUTHORIZE, ALLOWED_BY_DEFAULT)
        await case.query.ask()
        case.agent.always(AUTHORIZE, reply)
        case.agent.put(MATCH, {"web": [consul_answers.intention("api", "web", "deny")]})
        case.agent.put(LIST, [], index=50)
        await case.query.ask()

    parts = play(scene).found
    assert [(len(part.intentions), part.default_allow) for part in parts] == [(0, True), (1, True)]
    assert "are allowed until Consul decides" in caplog.text


def test_an_agent_that_hangs_up_during_the_look_is_a_failure() -> None:
    async def scene(case: Case) -> None:
        case.agent.script(AUTHORIZE, Raw())
        with pytest.raises(AgentUnreachableError):
            await case.query.ask()

    assert play(scene).found == []


@pytest.mark.parametrize(
    ("reason", "authorized", "covered", "decision"),
    [
        ("ACLs disabled, access is allowed by default", True, False, True),
        ("Default behavior configured by ACLs", False, False, False),
        ("Default behavior configured by ACLs", True, False, True),
        ("Matched intention: ALLOW default/* => default/web", True, True, False),
        ("Matched intention: DENY default/* => default/web", False, True, False),
        ("Matched intention: ALLOW default/* => default/web", True, False, None),
        ("some later wording", True, False, True),
    ],
)
def test_what_an_answer_tells_of_the_default(
    reason: str, authorized: bool, covered: bool, decision: bool | None
) -> None:
    assert (
        default_decision(Authorization(authorized=authorized, reason=reason), covered=covered) is decision
    )
