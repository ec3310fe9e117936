import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from connect_proxy.consul.client import connect_consul
from connect_proxy.errors import AgentAnswerError, ProxyTokenRefusedError, UnknownTokenError
from connect_proxy.managed.tokens import ProxyTokens, token_hash
from connect_proxy.secret import NO_SECRET, Secret
from support.managed_definitions import managed_proxy
from support.scripted_agent import Reply, ScriptedAgent, text

T = TypeVar("T")
CREATE = "/v1/acl/token"
READ = "/v1/acl/token/acc-1"
ACLS_OFF = text(401, "ACL support disabled")
MADE = Reply(body={"AccessorID": "acc-2", "SecretID": "made", "Local": True})


def with_tokens(
    use: Callable[[ProxyTokens], Awaitable[T]], replies: dict[str, Reply]
) -> tuple[T, ScriptedAgent]:
    async def go() -> tuple[T, ScriptedAgent]:
        async with ScriptedAgent() as agent:
            for path, reply in replies.items():
                agent.always(path, reply)
            client = connect_consul(agent.access("agents"))
            try:
                return await use(ProxyTokens(client)), agent
            finally:
                await client.aclose()

    return asyncio.run(go())


def test_a_token_with_the_services_identity_is_made() -> None:
    token, agent = with_tokens(lambda tokens: tokens.obtain(managed_proxy()), {CREATE: MADE})
    assert (token.secret.reveal(), token.accessor, token.is_local) == ("made", "acc-2", False)
    (request,) = agent.asked(CREATE)
    assert request.method == "PUT"
    assert b'"ServiceIdentities": [{"ServiceName": "web"}]' in request.body
    assert b"managed proxy web-proxy" in request.body


def test_after_a_restart_the_same_token_is_read_back_by_its_accessor() -> None:
    there = Reply(body={"AccessorID": "acc-1", "SecretID": "kept"})
    token, agent = with_tokens(
        lambda tokens: tokens.obtain(managed_proxy(), accessor="acc-1"), {READ: there}
    )
    assert (token.secret.reveal(), token.accessor) == ("kept", "acc-1")
    assert agent.asked(CREATE) == []


@pytest.mark.parametrize(
    "answer",
    [
        text(403, "ACL not found"),
        text(403, "Permission denied"),
        Reply(body={"AccessorID": "acc-1", "SecretID": "<hidden>"}),
    ],
)
def test_a_token_that_is_gone_or_hidden_is_replaced(answer: Reply) -> None:
    token, _ = with_tokens(
        lambda tokens: tokens.obtain(managed_proxy(), accessor="acc-1"), {READ: answer, CREATE: MADE}
    )
    assert token.accessor == "acc-2"


def test_a_definitions_own_token_is_taken_and_none_is_made() -> None:
    token, agent = with_tokens(lambda tokens: tokens.obtain(managed_proxy(token="own")), {})
    assert (token.secret.reveal(), token.accessor, token.is_local) == ("own", "", False)
    assert agent.requests == []


def test_with_acls_off_a_random_token_is_minted_at_each_start() -> None:
    async def use(tokens: ProxyTokens) -> list[str]:
        minted = [await tokens.obtain(managed_proxy(), accessor="acc-1") for _ in range(2)]
        assert all(token.is_local and not token.accessor for token in minted)
        return [token.secret.reveal() for token in minted]

    (first, second), _ = with_tokens(use, {CREATE: ACLS_OFF, READ: ACLS_OFF})
    assert first != second
    assert len(first) == 36


def test_an_agent_that_may_make_no_tokens_names_the_missing_rule() -> None:
    with pytest.raises(ProxyTokenRefusedError, match=r"web-proxy.*acl:write.*token in its definition"):
        with_tokens(lambda tokens: tokens.obtain(managed_proxy()), {CREATE: text(403, "Permission denied")})


def test_an_agent_whose_own_token_is_unknown_says_so() -> None:
    unknown = text(403, "ACL not found")
    with pytest.raises(UnknownTokenError):
        with_tokens(
            lambda tokens: tokens.obtain(managed_proxy(), accessor="acc-1"),
            {READ: unknown, CREATE: unknown},
        )


def test_other_troubles_are_not_taken_for_acls_off() -> None:
    with pytest.raises(AgentAnswerError, match="no cluster leader"):
        with_tokens(lambda tokens: tokens.obtain(managed_proxy()), {CREATE: text(500, "no cluster leader")})


def test_a_token_is_deleted_by_its_accessor() -> None:
    _, agent = with_tokens(lambda tokens: tokens.delete("acc-1"), {READ: Reply(body=True)})
    assert [request.method for request in agent.asked(READ)] == ["DELETE"]


OWN = "/v1/acl/token/self"
GONE = (
    {READ: text(404, "token does not exist")},
    {READ: text(403, "ACL not found"), OWN: Reply(body={"AccessorID": "own", "SecretID": "own"})},
)


@pytest.mark.parametrize("answers", GONE)
def test_a_token_that_is_not_there_is_deleted(answers: dict[str, Reply]) -> None:
    with_tokens(lambda tokens: tokens.delete("acc-1"), answers)


def test_our_own_token_is_not_taken_for_the_one_that_is_gone() -> None:
    unknown = text(403, "ACL not found")
    with pytest.raises(UnknownTokenError):
        with_tokens(lambda tokens: tokens.delete("acc-1"), {READ: unknown, OWN: unknown})


def test_with_acls_off_no_token_is_deleted() -> None:
    with pytest.raises(AgentAnswerError, match="ACL support disabled"):
        with_tokens(lambda tokens: tokens.delete("acc-1"), {READ: ACLS_OFF})


def test_only_the_hash_of_a_token_is_for_the_disk() -> None:
    assert token_hash(Secret("made")) == hashlib.sha256(b"made").hexdigest()
    assert token_hash(NO_SECRET) == ""


def test_no_token_shows_its_secret() -> None:
    token, _ = with_tokens(lambda tokens: tokens.obtain(managed_proxy()), {CREATE: MADE})
    assert "made" not in repr(token)
