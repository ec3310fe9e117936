import asyncio

import pytest
from starlette.datastructures import Headers, QueryParams

from connect_proxy.dev_agent.decoding import Struct, text
from connect_proxy.dev_agent.http.call import Call
from connect_proxy.errors import ApiError
from support.dev_agent_parts import agent_state
from support.dev_agent_rules import rules


def call(query: str = "", headers: dict[str, str] | None = None, body: bytes = b"") -> Call:
    return Call(
        state=agent_state(access=rules(mine="service:read:web")),
        method="GET",
        path={},
        query=QueryParams(query),
        headers=Headers(headers or {}),
        body=body,
    )


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        ("", {}, ""),
        ("", {"X-Consul-Token": "header"}, "header"),
        ("", {"Authorization": "Bearer bearer"}, "bearer"),
        ("", {"Authorization": "Basic dXNlcg=="}, ""),
        ("", {"Authorization": "bearer b", "X-Consul-Token": "header"}, "header"),
        ("token=query", {"X-Consul-Token": "header"}, "query"),
        ("token=", {"X-Consul-Token": "header"}, "header"),
    ],
)
def test_a_token_is_looked_for_where_consul_looks(query: str, headers: dict[str, str], token: str) -> None:
    assert call(query, headers).token.reveal() == token


def test_what_a_token_may_not_do_is_forbidden() -> None:
    allowed = call("token=mine")
    allowed.require("read", "service", "web")
    assert not allowed.may("write", "service", "web")
    with pytest.raises(ApiError) as caught:
        call().require("read", "service", "web")
    assert (caught.value.status, str(caught.value)) == (403, "Permission denied")


def test_a_body_that_cannot_be_read_is_refused_with_the_words_of_the_endpoint() -> None:
    struct = Struct({"Name": text})
    assert call(body=b'{"Name":"a"}').decoded(struct) == {"Name": "a"}
    with pytest.raises(ApiError) as caught:
        call(body=b"").decoded(struct, status=500, prefix="Failed: ")
    assert (caught.value.status, str(caught.value)) == (500, "Failed: EOF")


@pytest.mark.parametrize(
    ("query", "flag"), [("", False), ("x", True), ("x=", True), ("x=true", True), ("x=false", False)]
)
def test_a_flag_counts_when_it_is_there(query: str, flag: bool) -> None:
    assert call(query).flag("x") is flag


def test_a_call_does_not_show_its_token_in_an_exception() -> None:
    async def fail() -> None:
        call("token=s3cret").require("write", "service", "web")

    with pytest.raises(ApiError) as caught:
        asyncio.run(fail())
    assert "s3cret" not in str(caught.value)
