import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.errors import (
    AgentAnswerError,
    ConfigurationError,
    ConsulError,
    NotFoundError,
    PermissionDeniedError,
)
from connect_proxy.mesh.immutable import frozen
from connect_proxy.secret import Secret
from support import consul_answers
from support.scripted_agent import Received, Reply, ScriptedAgent, text

T = TypeVar("T")
TOKEN = "5ec5e7c0-ffee-4a11-babe-000000000000"


def talk(
    call: Callable[[ConsulClient], Awaitable[T]],
    *replies: Reply,
    path: str,
    change: Callable[[AgentAccess], AgentAccess] = lambda access: access,
) -> tuple[T, list[Received]]:
    """The result of *call*, and what the agent received; *replies* are given at *path*."""

    async def go() -> tuple[T, list[Received]]:
        async with ScriptedAgent() as agent:
            agent.script(path, *replies)
            client = connect_consul(change(agent.access()))
            try:
                return await call(client), agent.requests
            finally:
                await client.aclose()

    return asyncio.run(go())


def refusal(call: Callable[[ConsulClient], Awaitable[Any]], reply: Reply, *, path: str) -> ConsulError:
    """The error that *call* ends with."""

    async def catching(client: ConsulClient) -> ConsulError:
        with pytest.raises(ConsulError) as caught:
            await call(client)
        return caught.value

    error, _ = talk(catching, reply, path=path, change=lambda access: replace(access, token=Secret(TOKEN)))
    assert TOKEN not in str(error)
    return error


def test_a_service_comes_with_the_hash_to_block_on() -> None:
    reply = Reply(body=consul_answers.sidecar(), headers={"X-Consul-Contenthash": "abc"})
    answer, requests = talk(
        lambda client: client.service("web-sidecar-proxy"),
        reply,
        path="/v1/agent/service/web-sidecar-proxy",
    )
    assert answer.content_hash == answer.value.content_hash == "abc"
    assert requests[0].params == {}


def test_without_the_header_the_hash_of_the_body_is_taken() -> None:
    answer, _ = talk(
        lambda client: client.service("p"), Reply(body=consul_answers.sidecar()), path="/v1/agent/service/p"
    )
    assert answer.content_hash == "d910a850f7d70916"


def test_a_service_is_blocked_on_by_hash() -> None:
    _, requests = talk(
        lambda client: client.service("p", content_hash="abc", wait=1),
        Reply(body=consul_answers.sidecar()),
        path="/v1/agent/service/p",
    )
    assert requests[0].params == {"hash": "abc", "wait": "1000ms"}


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (lambda c, **k: c.roots(**k), "/v1/agent/connect/ca/roots", consul_answers.roots("r")),
        (lambda c, **k: c.leaf("web", **k), "/v1/agent/connect/ca/leaf/web", consul_answers.leaf()),
        (lambda c, **k: c.intentions(**k), "/v1/connect/intentions", []),
        (lambda c, **k: c.instances("db", **k), "/v1/health/connect/db", []),
    ],
)
def test_index_queries_hand_on_index_and_wait(
    call: Callable[..., Awaitable[Any]], path: str, body: Any
) -> None:
    reply = Reply(body=body, headers={"X-Consul-Index": "42"})
    answer, requests = talk(lambda client: call(client, index=41, wait=2), reply, path=path)
    assert answer.index == 42
    assert requests[0].params == {"index": "41", "wait": "2000ms"}
    answer, requests = talk(call, reply, path=path)
    assert requests[0].params == {}


@pytest.mark.parametrize("header", [{}, {"X-Consul-Index": "x"}, {"X-Consul-Index": "-3"}])
def test_an_index_that_is_missing_or_no_number_is_0(header: dict[str, str]) -> None:
    reply = Reply(body=consul_answers.roots("r"), headers=header)
    answer, _ = talk(lambda client: client.roots(), reply, path="/v1/agent/connect/ca/roots")
    assert answer.index == 0


def test_an_authorization_is_posted() -> None:
    reply = Reply(body={"Authorized": True, "Reason": "because"})
    answer, requests = talk(
        lambda client: client.authorize(target="web", client_uri="spiffe://a", serial="08"),
        reply,
        path="/v1/agent/connect/authorize",
    )
    assert (answer.authorized, answer.reason) == (True, "because")
    assert requests[0].method == "POST"
    assert json.loads(requests[0].body) == {
        "Target": "web",
        "ClientCertURI": "spiffe://a",
        "ClientCertSerial": "08",
    }


def test_intentions_are_matched_by_destination() -> None:
    reply = Reply(body={"web": [consul_answers.intention("api", "web", "deny")]})
    found, requests = talk(
        lambda client: client.intentions_for("web"), reply, path="/v1/connect/intentions/match"
    )
    assert [one.source_name for one in found] == ["api"]
    assert requests[0].params == {"by": "destination", "name": "web"}


def test_a_query_is_executed_for_connect() -> None:
    reply = Reply(body={"Service": "db", "Nodes": [consul_answers.instance()]})
    found, requests = talk(
        lambda client: client.execute_query("geo", datacenter="dc2"), reply, path="/v1/query/geo/execute"
    )
    assert [one.port for one in found] == [21001]
    assert requests[0].params == {"connect": "true", "dc": "dc2"}


def test_datacenter_namespace_and_partition_go_with_every_call() -> None:
    _, requests = talk(
        lambda client: client.instances("db"),
        Reply(body=[]),
        path="/v1/health/connect/db",
        change=lambda access: replace(access, datacenter="dc1", namespace="team", partition="part"),
    )
    assert requests[0].params == {"dc": "dc1", "ns": "team", "partition": "part"}


def test_a_calls_own_datacenter_wins() -> None:
    _, requests = talk(
        lambda client: client.instances("db", datacenter="dc2"),
        Reply(body=[]),
        path="/v1/health/connect/db",
        change=lambda access: replace(access, datacenter="dc1"),
    )
    assert requests[0].params == {"dc": "dc2"}


def test_a_definition_is_registered_as_it_is() -> None:
    definition = frozen({"Name": "web", "Tags": ["a"], "Connect": {"SidecarService": {}}})
    _, requests = talk(
        lambda client: client.register_service(definition), Reply(), path="/v1/agent/service/register"
    )
    assert requests[0].method == "PUT"
    assert json.loads(requests[0].body) == {
        "Name": "web",
        "Tags": ["a"],
        "Connect": {"SidecarService": {}},
    }


def test_a_service_is_deregistered_by_id() -> None:
    _, requests = talk(
        lambda client: client.deregister_service("a/b"), Reply(), path="/v1/agent/service/deregister/a/b"
    )
    assert (requests[0].method, requests[0].target) == ("PUT", "/v1/agent/service/deregister/a%2Fb")


def test_a_check_is_updated() -> None:
    _, requests = talk(
        lambda client: client.update_check("service:web", status="passing", output="fine"),
        Reply(),
        path="/v1/agent/check/update/service:web",
    )
    assert json.loads(requests[0].body) == {"Status": "passing", "Output": "fine"}


def test_the_leader_and_the_agent_are_asked() -> None:
    leader, _ = talk(lambda client: client.leader(), Reply(body="127.0.0.1:8300"), path="/v1/status/leader")
    assert leader == "127.0.0.1:8300"
    found, _ = talk(
        lambda client: client.agent_self(),
        Reply(body={"Config": {"Datacenter": "dc1"}}),
        path="/v1/agent/self",
    )
    assert found["Config"]["Datacenter"] == "dc1"


def test_a_new_token_is_used_from_the_next_request_on() -> None:
    async def both(client: ConsulClient) -> str:
        await client.leader()
        client.set_token(Secret("new"))
        await client.leader()
        return client.access.token.reveal()

    token, requests = talk(
        both,
        Reply(body=""),
        Reply(body=""),
        path="/v1/status/leader",
        change=lambda access: replace(access, token=Secret("old")),
    )
    assert token == "new"
    assert [request.headers["x-consul-token"] for request in requests] == ["old", "new"]


def test_neither_client_nor_access_shows_the_token() -> None:
    client = connect_consul(AgentAccess(token=Secret(TOKEN), http_auth=Secret("user:hidden-password")))
    for shown in (repr(client), str(client), repr(client.access), str(vars(client))):
        assert TOKEN not in shown
        assert "hidden-password" not in shown


@pytest.mark.parametrize(
    ("call", "path", "rule"),
    [
        (lambda c: c.agent_self(), "/v1/agent/self", "agent:read"),
        (lambda c: c.service("web"), "/v1/agent/service/web", 'service:read on the name of .* "web"'),
        (lambda c: c.leaf("web"), "/v1/agent/connect/ca/leaf/web", 'service:write on "web"'),
        (
            lambda c: c.authorize(target="web", client_uri="x", serial=""),
            "/v1/agent/connect/authorize",
            'service:write on "web"',
        ),
        (lambda c: c.intentions(), "/v1/connect/intentions", "intentions:read"),
        (lambda c: c.intentions_for("web"), "/v1/connect/intentions/match", 'intentions:read .* "web"'),
        (lambda c: c.instances("db"), "/v1/health/connect/db", 'service:read on "db"'),
        (lambda c: c.execute_query("q"), "/v1/query/q/execute", 'query:read on "q"'),
        (
            lambda c: c.register_service({"Name": "web"}),
            "/v1/agent/service/register",
            'service:write on "web"',
        ),
        (lambda c: c.deregister_service("web"), "/v1/agent/service/deregister/web", "service:write"),
        (lambda c: c.update_check("c", status="passing"), "/v1/agent/check/update/c", "service:write"),
    ],
)
def test_a_refusal_names_the_rule_that_the_call_needs(
    call: Callable[[ConsulClient], Awaitable[Any]], path: str, rule: str
) -> None:
    error = refusal(call, text(403, "Permission denied"), path=path)
    assert isinstance(error, PermissionDeniedError)
    with pytest.raises(PermissionDeniedError, match=rule):
        raise error


def test_an_unknown_service_is_not_found() -> None:
    error = refusal(
        lambda client: client.service("x"), text(404, "unknown service ID: x"), path="/v1/agent/service/x"
    )
    assert isinstance(error, NotFoundError)


@pytest.mark.parametrize("body", [b"", b"<html>", b'"x"', b'{"Roots": 3}', b"[3]"])
@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda c: c.leaf("web"), "/v1/agent/connect/ca/leaf/web"),
        (lambda c: c.instances("web"), "/v1/health/connect/web"),
        (lambda c: c.services(), "/v1/agent/services"),
    ],
)
def test_garbage_with_status_200_is_an_answer_error_naming_the_endpoint(
    call: Callable[[ConsulClient], Awaitable[Any]], path: str, body: bytes
) -> None:
    error = refusal(call, Reply(body=body), path=path)
    assert isinstance(error, AgentAnswerError)
    assert f"GET {path}" in str(error)


def test_unusable_certificate_files_are_told_by_the_factory() -> None:
    with pytest.raises(ConfigurationError, match="CONSUL_CACERT"):
        connect_consul(AgentAccess(ca_file="/no/such/file"))


NODE_SERVICES = "/v1/catalog/node-services/pod-1"


def test_a_nodes_services_come_from_the_catalog_with_the_datacenter_of_the_node() -> None:
    reply = Reply(body=consul_answers.node_services(consul_answers.sidecar()))
    (found,), requests = talk(lambda client: client.node_services("pod-1"), reply, path=NODE_SERVICES)
    assert (found.id, found.datacenter, found.content_hash) == ("web-sidecar-proxy", "dc1", "")
    assert requests[0].target == f"{NODE_SERVICES}?merge-central-config="


def test_one_of_them_is_chosen_also_by_a_consul_that_does_not_filter() -> None:
    both = consul_answers.node_services(consul_answers.sidecar(), consul_answers.sidecar("db"))
    found, requests = talk(
        lambda client: client.node_services("pod-1", service_id="db-sidecar-proxy"),
        Reply(body=both),
        path=NODE_SERVICES,
    )
    assert [one.id for one in found] == ["db-sidecar-proxy"]
    assert requests[0].params["filter"] == 'ID == "db-sidecar-proxy"'


@pytest.mark.parametrize("service_id", ['a"b', "a\\b"])
def test_an_id_that_would_end_the_text_of_a_filter_is_quoted_otherwise(service_id: str) -> None:
    _, requests = talk(
        lambda client: client.node_services("pod-1", service_id=service_id),
        Reply(body=consul_answers.node_services()),
        path=NODE_SERVICES,
    )
    assert requests[0].params["filter"] == f"ID == `{service_id}`"


@pytest.mark.parametrize("services", [None, []])
def test_a_node_that_is_not_in_the_catalog_is_not_found(services: Any) -> None:
    reply = Reply(body={"Node": None, "Services": services})
    error = refusal(lambda client: client.node_services("pod-1"), reply, path=NODE_SERVICES)
    assert isinstance(error, NotFoundError)
    assert "'pod-1' is not in the catalog" in str(error)


def test_a_node_that_may_not_be_read_is_told_with_the_rules_it_takes() -> None:
    reply = text(403, "Permission denied")
    error = refusal(lambda client: client.node_services("pod-1"), reply, path=NODE_SERVICES)
    assert isinstance(error, PermissionDeniedError)
    assert 'node:read on "pod-1" and service:read' in str(error)
