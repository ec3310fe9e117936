import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from connect_proxy.dev_agent.http.routes import ENDPOINTS
from support.dev_agent_running import running_agent

PATHS = sorted({endpoint.path for endpoint in ENDPOINTS})


def answers(*requests: tuple[str, str], **fields: Any) -> list[httpx.Response]:
    """What a fresh agent answers to (method, path) after (method, path)."""

    async def run() -> list[httpx.Response]:
        async with running_agent() as agent:
            return [await agent.http.request(method, path, **fields) for method, path in requests]

    return asyncio.run(run())


def test_a_method_that_a_path_has_not_is_refused_with_those_it_has() -> None:
    requests = [("PATCH", path.replace("{", "").replace("}", "")) for path in PATHS]
    for path, answer in zip(PATHS, answers(*requests), strict=True):
        methods = sorted(endpoint.method for endpoint in ENDPOINTS if endpoint.path == path)
        assert answer.status_code == 405, path
        assert answer.headers["Allow"] == ",".join(["OPTIONS", *methods])
        assert answer.text == "method PATCH not allowed"


def test_options_names_the_methods() -> None:
    (answer,) = answers(("OPTIONS", "/v1/connect/intentions"))
    assert (answer.status_code, answer.headers["Allow"], answer.text) == (200, "OPTIONS,GET,POST", "")


@pytest.mark.parametrize("path", ["/", "/v1/nosuch", "/v1/agent/self/", "/v2/agent/self"])
def test_an_unknown_path_is_not_found_and_the_answer_says_whose_agent_this_is(path: str) -> None:
    (answer,) = answers(("GET", path))
    assert answer.status_code == 404
    assert answer.text.startswith(f"the embedded agent has no '{path}'")


def test_json_is_compact_unless_asked_to_be_pretty() -> None:
    compact, pretty = answers(("GET", "/v1/catalog/services"), ("GET", "/v1/catalog/services?pretty"))
    assert compact.text == '{"consul":[]}'
    assert pretty.text == '{\n    "consul": []\n}\n'
    assert compact.headers["Content-Type"] == pretty.headers["Content-Type"] == "application/json"


def test_a_write_answers_nothing() -> None:
    (answer,) = answers(("PUT", "/v1/agent/service/register"), json={"Name": "web"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_names_may_hold_slashes_spaces_and_any_letter() -> None:
    async def run() -> None:
        async with running_agent() as agent:
            for name in ("a/b", "a b", "grün", "a%2Fb", "a?b"):
                await agent.register({"Name": name})
                shown = await agent.http.get(f"/v1/agent/service/{quote(name)}")
                assert shown.json()["Service"] == name
                health = await agent.http.get(f"/v1/agent/health/service/id/{quote(name)}x")
                assert health.status_code == 404

    asyncio.run(run())


def test_a_body_above_the_limit_is_refused() -> None:
    (answer,) = answers(("PUT", "/v1/agent/service/register"), content=b"x" * (8 * 1024 * 1024 + 1))
    assert answer.status_code == 413


def test_a_configuration_nested_too_deep_is_refused() -> None:
    deep = '{"Name":"a","Kind":"x","Proxy":{"Config":{"a":' + "[" * 700 + "]" * 700 + "}}}"
    (answer,) = answers(("PUT", "/v1/agent/service/register"), content=deep.encode())
    assert answer.status_code in {200, 400}


def test_any_definition_is_registered_or_refused_and_never_breaks_the_agent() -> None:
    """Every key of a definition with every kind of odd value, one at a time."""
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        2**40,
        1.5,
        "",
        "x",
        "\ud800",
        [],
        [None],
        ["x"],
        {},
        {"x": None},
        {"x": "y"},
    ]
    keys = ["ID", "Name", "Kind", "Tags", "Meta", "Port", "Address", "TaggedAddresses", "Check", "Checks"]
    nested = ["Weights", "Proxy", "Connect", "EnableTagOverride", "Token"]
    checks = ["TTL", "TCP", "HTTP", "Header", "Interval", "Status", "AliasService", "CheckID"]

    async def run() -> None:
        async with running_agent() as agent:
            bodies: list[Any] = [{"Name": "a", key: value} for key in keys + nested for value in odd]
            bodies += [{"Name": "a", "Check": {"TTL": "9s", key: value}} for key in checks for value in odd]
            for body in bodies:
                answer = await agent.http.put("/v1/agent/service/register", content=json.dumps(body))
                assert answer.text != "Internal Server Error", body
            for path in ("/v1/agent/services", "/v1/agent/checks", "/v1/catalog/node/node1"):
                await agent.json(path)

    asyncio.run(run())
