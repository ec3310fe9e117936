from dataclasses import replace

import pytest

from connect_proxy.dev_agent.changes import (
    CHECKS,
    SERVICES,
    Topic,
    connect_topic,
    local_topic,
    service_topic,
)
from connect_proxy.dev_agent.records import CRITICAL, PASSING, CheckRecord, ProxyRecord, ServiceRecord
from connect_proxy.dev_agent.state import AgentState
from support.dev_agent_parts import agent_state

WEB = ServiceRecord(id="web", name="web", port=80)
SIDECAR = ServiceRecord(
    id="web-proxy",
    name="web-proxy",
    kind="connect-proxy",
    port=20000,
    proxy=ProxyRecord(destination_service_name="web"),
)
CHECK = CheckRecord(id="c", name="c", status=PASSING, service_id="web-proxy", service_name="web-proxy")
TOPICS = (
    service_topic("web"),
    service_topic("web-proxy"),
    connect_topic("web"),
    service_topic("db"),
    connect_topic("db"),
)


@pytest.fixture
def state() -> AgentState:
    return agent_state()


def touched(state: AgentState, since: int) -> set[Topic]:
    return {topic for topic in TOPICS if state.changes.index(topic) > since}


def test_a_service_is_found_by_its_name_and_a_proxy_by_its_destination(state: AgentState) -> None:
    state.catalog.put_service(WEB)
    state.catalog.put_service(SIDECAR)
    assert [found.service.id for found in state.catalog.instances("web")] == ["web"]
    assert [found.service.id for found in state.catalog.connect_instances("web")] == ["web-proxy"]


def test_a_native_service_answers_for_itself(state: AgentState) -> None:
    state.catalog.put_service(replace(WEB, native=True))
    assert [found.service.id for found in state.catalog.connect_instances("web")] == ["web"]


def test_the_checks_of_the_node_count_for_every_instance(state: AgentState) -> None:
    state.catalog.put_service(WEB)
    (instance,) = state.catalog.instances("web")
    assert [check.id for check in instance.checks] == ["serfHealth"]


def test_registering_touches_the_service_and_what_it_stands_for(state: AgentState) -> None:
    before = state.changes.latest
    state.catalog.put_service(SIDECAR)
    assert touched(state, before) == {service_topic("web-proxy"), connect_topic("web")}
    assert state.changes.index(SERVICES) == state.changes.index(local_topic("web-proxy")) == before + 1


def test_registering_the_same_again_touches_nothing(state: AgentState) -> None:
    state.catalog.put_service(SIDECAR)
    before = state.changes.latest
    state.catalog.put_service(SIDECAR)
    assert state.changes.latest == before


def test_a_change_keeps_the_create_index(state: AgentState) -> None:
    state.catalog.put_service(WEB)
    state.catalog.put_service(replace(WEB, port=81))
    service = state.catalog.service("web")
    assert service is not None
    assert service.create_index < service.modify_index == state.changes.latest


def test_a_proxy_that_changes_its_destination_touches_both(state: AgentState) -> None:
    state.catalog.put_service(SIDECAR)
    before = state.changes.latest
    state.catalog.put_service(replace(SIDECAR, proxy=ProxyRecord(destination_service_name="db")))
    assert touched(state, before) == {service_topic("web-proxy"), connect_topic("web"), connect_topic("db")}


def test_a_change_of_status_touches_the_checked_service(state: AgentState) -> None:
    state.catalog.put_service(WEB)
    state.catalog.put_service(SIDECAR)
    state.catalog.put_check(CHECK)
    before = state.changes.latest
    state.catalog.put_check(replace(CHECK, status=CRITICAL))
    assert touched(state, before) == {service_topic("web-proxy"), connect_topic("web")}
    assert state.changes.index(CHECKS) == state.changes.latest


def test_a_change_of_the_output_alone_is_shown_but_touches_nothing(state: AgentState) -> None:
    state.catalog.put_service(SIDECAR)
    state.catalog.put_check(CHECK)
    before = state.changes.latest
    state.catalog.put_check(replace(CHECK, output="fine"))
    assert state.changes.latest == before
    check = state.catalog.check("c")
    assert check is not None
    assert check.output == "fine"


def test_a_check_of_the_node_touches_every_service(state: AgentState) -> None:
    state.catalog.put_service(WEB)
    state.catalog.put_service(SIDECAR)
    before = state.changes.latest
    state.catalog.put_check(CheckRecord(id="disk", name="disk", status=CRITICAL))
    assert touched(state, before) == {
        service_topic("web"),
        service_topic("web-proxy"),
        connect_topic("web"),
    }


def test_removing_a_service_removes_its_checks_and_touches_it(state: AgentState) -> None:
    state.catalog.put_service(SIDECAR)
    state.catalog.put_check(CHECK)
    before = state.changes.latest
    assert state.catalog.remove_service("web-proxy") is not None
    assert touched(state, before) == {service_topic("web-proxy"), connect_topic("web")}
    assert state.catalog.check("c") is None
    assert state.catalog.connect_instances("web") == []


def test_removing_what_is_not_there_changes_nothing(state: AgentState) -> None:
    before = state.changes.latest
    assert state.catalog.remove_service("nosuch") is None
    assert state.catalog.remove_check("nosuch") is None
    assert state.changes.latest == before


def test_the_agents_own_service_is_in_the_catalog_but_not_among_the_local_ones(state: AgentState) -> None:
    assert [service.id for service in state.catalog.services()] == ["consul"]
    assert state.catalog.local_services() == {}
