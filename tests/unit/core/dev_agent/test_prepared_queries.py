from typing import Any

import pytest

from connect_proxy.dev_agent.prepared_queries import query_json, run_query
from connect_proxy.dev_agent.records import (
    CRITICAL,
    PASSING,
    WARNING,
    CheckRecord,
    ProxyRecord,
    ServiceRecord,
)
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.errors import ApiError
from connect_proxy.mesh.immutable import frozen
from support.dev_agent_parts import agent_state

UNKNOWN = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def state() -> AgentState:
    """``web`` three times, with a passing, a warning and a critical check, and a sidecar."""
    state = agent_state()
    for status in (PASSING, WARNING, CRITICAL):
        state.catalog.put_service(
            ServiceRecord(id=status, name="web", tags=(status, "All"), meta=frozen({"is": status}))
        )
        state.catalog.put_check(
            CheckRecord(id=status, name=status, status=status, service_id=status, service_name="web")
        )
    state.catalog.put_service(
        ServiceRecord(
            id="proxy",
            name="proxy",
            kind="connect-proxy",
            proxy=ProxyRecord(destination_service_name="web"),
        )
    )
    return state


def found(state: AgentState, *, connect: bool = False, limit: int = 0, **service: Any) -> set[str]:
    query_id = state.queries.create({"Name": "q", "Service": {"Service": "web", **service}})
    query = state.queries.get(query_id)
    return {each.service.id for each in run_query(query, state.catalog, connect=connect, limit=limit)}


def test_critical_instances_are_never_found(state: AgentState) -> None:
    assert found(state) == {PASSING, WARNING}


@pytest.mark.parametrize(
    ("service", "ids"),
    [
        ({"OnlyPassing": True}, {PASSING}),
        ({"IgnoreCheckIDs": [CRITICAL]}, {PASSING, WARNING, CRITICAL}),
        ({"Tags": ["all", "Warning"]}, {WARNING}),
        ({"Tags": ["!warning"]}, {PASSING}),
        ({"ServiceMeta": {"is": PASSING}}, {PASSING}),
        ({"NodeMeta": {"rack": "1"}}, set()),
        ({"Connect": True}, {"proxy"}),
    ],
)
def test_a_query_finds_what_its_definition_says(
    state: AgentState, service: dict[str, Any], ids: set[str]
) -> None:
    assert found(state, **service) == ids


def test_asked_for_the_mesh_any_query_finds_sidecars(state: AgentState) -> None:
    assert found(state, connect=True) == {"proxy"}


def test_a_limit_keeps_so_many(state: AgentState) -> None:
    assert len(found(state, limit=1)) == 1


def test_a_query_is_found_by_id_and_by_name(state: AgentState) -> None:
    query_id = state.queries.create({"Name": "q", "Service": {"Service": "web"}, "DNS": {"TTL": "7s"}})
    assert state.queries.resolve(query_id) == state.queries.resolve("q") == state.queries.get(query_id)
    assert query_json(state.queries.get(query_id))["DNS"] == {"TTL": "7s"}


def test_an_update_keeps_id_and_create_index(state: AgentState) -> None:
    query_id = state.queries.create({"Name": "q", "Service": {"Service": "web"}})
    old = state.queries.get(query_id)
    state.queries.update(query_id, {"Name": "q", "Service": {"Service": "db"}})
    new = state.queries.get(query_id)
    assert (new.service["Service"], new.create_index) == ("db", old.create_index)
    assert new.modify_index > old.modify_index
    state.queries.delete(query_id)
    assert state.queries.all() == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Invalid prepared query: Must be bound to a session"),
        ({"Name": "q"}, "Invalid prepared query: Must provide a Service name to query"),
        (
            {"Name": "q", "Service": {"Service": "a"}, "DNS": {"TTL": "x"}},
            "Invalid prepared query: Bad DNS TTL 'x': time: invalid duration \"x\"",
        ),
        (
            {"Name": "q", "Service": {"Service": "a", "Failover": {"NearestN": -1}}},
            "Invalid prepared query: Bad NearestN '-1', must be >= 0",
        ),
        ({"ID": "x"}, "ID must be empty when creating a new prepared query"),
        ({"Name": "taken", "Service": {"Service": "a"}}, "name 'taken' aliases an existing query name"),
    ],
)
def test_a_mistake_is_refused_in_consuls_words(state: AgentState, body: dict[str, Any], text: str) -> None:
    state.queries.create({"Name": "taken", "Service": {"Service": "a"}})
    with pytest.raises(ApiError) as caught:
        state.queries.create(body)
    assert (caught.value.status, str(caught.value)) == (500, text)


def test_unknown_ids_are_refused(state: AgentState) -> None:
    with pytest.raises(ApiError, match="Query not found"):
        state.queries.get(UNKNOWN)
    with pytest.raises(ApiError, match="Query not found"):
        state.queries.resolve("nosuch")
    with pytest.raises(ApiError, match="UUID must be 36 characters"):
        state.queries.get("nosuch")
    with pytest.raises(ApiError, match="Cannot modify non-existent prepared query"):
        state.queries.delete(UNKNOWN)
