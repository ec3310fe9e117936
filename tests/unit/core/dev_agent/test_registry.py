import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connect_proxy.dev_agent.definition import CHECK, check_definition
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.errors import ApiError
from support.dev_agent_parts import agent_state, register


def in_loop(case: Callable[[AgentState], None]) -> None:
    """Run *case* on a fresh agent inside a loop, as its checks need one."""

    async def run() -> None:
        state = agent_state(sidecar_ports=(21000, 21003))
        state.registry.is_free = lambda port: True
        try:
            case(state)
        finally:
            state.checks.stop()

    asyncio.run(run())


def port_of(state: AgentState, service_id: str) -> int:
    service = state.catalog.service(service_id)
    assert service is not None
    return service.port


def sidecar_of(name: str, **fields: Any) -> dict[str, Any]:
    return {"Name": name, "Port": 80, "Connect": {"SidecarService": fields}}


def test_a_sidecar_is_registered_with_its_service_and_leaves_with_it() -> None:
    def case(state: AgentState) -> None:
        register(state, sidecar_of("web"))
        assert list(state.catalog.local_services()) == ["web", "web-sidecar-proxy"]
        assert list(state.catalog.local_checks()) == [
            "service:web-sidecar-proxy:1",
            "service:web-sidecar-proxy:2",
        ]
        state.registry.deregister("web")
        assert state.catalog.local_services() == {}
        assert state.catalog.local_checks() == {}

    in_loop(case)


def test_a_sidecar_may_leave_alone() -> None:
    def case(state: AgentState) -> None:
        register(state, sidecar_of("web"))
        state.registry.deregister("web-sidecar-proxy")
        assert list(state.catalog.local_services()) == ["web"]

    in_loop(case)


def test_a_service_that_only_has_the_name_of_a_sidecar_stays() -> None:
    def case(state: AgentState) -> None:
        register(state, {"Name": "web"})
        register(state, {"Name": "web-sidecar-proxy"})
        state.registry.deregister("web")
        assert list(state.catalog.local_services()) == ["web-sidecar-proxy"]

    in_loop(case)


def test_registering_the_service_again_without_its_sidecar_keeps_the_sidecar() -> None:
    def case(state: AgentState) -> None:
        register(state, sidecar_of("web"))
        register(state, {"Name": "web", "Port": 81})
        assert "web-sidecar-proxy" in state.catalog.local_services()
        state.registry.deregister("web")
        assert state.catalog.local_services() == {}

    in_loop(case)


def test_a_sidecar_keeps_its_port_and_a_freed_port_is_used_again() -> None:
    def case(state: AgentState) -> None:
        for name in ("a", "b", "c"):
            register(state, sidecar_of(name))
        assert [port_of(state, f"{name}-sidecar-proxy") for name in "abc"] == [21000, 21001, 21002]
        register(state, sidecar_of("b", Tags=["new"]))
        assert port_of(state, "b-sidecar-proxy") == 21001
        state.registry.deregister("a")
        register(state, sidecar_of("d"))
        assert port_of(state, "d-sidecar-proxy") == 21000

    in_loop(case)


def test_the_port_of_the_service_itself_is_not_given_to_its_sidecar() -> None:
    def case(state: AgentState) -> None:
        register(state, {**sidecar_of("web"), "Port": 21000})
        assert port_of(state, "web-sidecar-proxy") == 21001

    in_loop(case)


def test_without_a_free_port_nothing_is_registered() -> None:
    def case(state: AgentState) -> None:
        state.registry.sidecar_ports = replace(state.registry.sidecar_ports, last=21000)
        register(state, sidecar_of("a"))
        with pytest.raises(ApiError, match="none left"):
            register(state, sidecar_of("b"))
        assert "b" not in state.catalog.local_services()

    in_loop(case)


def test_checks_are_named_after_their_service() -> None:
    def case(state: AgentState) -> None:
        register(state, {"Name": "one", "Check": {"TTL": "9s"}})
        register(state, {"Name": "two", "Checks": [{"TTL": "9s"}, {"TTL": "9s", "Name": "mine"}]})
        register(state, {"Name": "own", "Check": {"CheckID": "my-id", "TTL": "9s"}})
        assert {check_id: check.name for check_id, check in state.catalog.local_checks().items()} == {
            "my-id": "Service 'own' check",
            "service:one": "Service 'one' check",
            "service:two:1": "Service 'two' check",
            "service:two:2": "mine",
        }

    in_loop(case)


def test_other_checks_stay_unless_they_are_to_be_replaced() -> None:
    def case(state: AgentState) -> None:
        register(state, {"Name": "web", "Check": {"CheckID": "old", "TTL": "9s"}})
        register(state, {"Name": "web", "Check": {"CheckID": "new", "TTL": "9s"}})
        assert list(state.catalog.local_checks()) == ["new", "old"]
        register(state, {"Name": "web", "Check": {"CheckID": "new", "TTL": "9s"}}, replace_checks=True)
        assert list(state.catalog.local_checks()) == ["new"]
        register(state, {"Name": "web"}, replace_checks=True)
        assert list(state.catalog.local_checks()) == []

    in_loop(case)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"TTL": "5s"}, 400, "Missing check name"),
        ({"Name": "c", "TTL": "5s", "ServiceID": "nosuch"}, 500, 'ServiceID "nosuch" does not exist'),
        ({"Name": "c", "TTL": "5s", "Status": "odd"}, 400, "Bad check status"),
    ],
)
def test_a_check_is_refused_in_consuls_words(body: dict[str, Any], status: int, text: str) -> None:
    def case(state: AgentState) -> None:
        with pytest.raises(ApiError) as caught:
            state.registry.register_check(check_definition(CHECK(body, "")))
        assert (caught.value.status, str(caught.value)) == (status, text)

    in_loop(case)


def test_a_check_of_the_node_needs_no_service() -> None:
    def case(state: AgentState) -> None:
        state.registry.register_check(check_definition(CHECK({"Name": "disk", "TTL": "5s"}, "")))
        assert state.catalog.local_checks()["disk"].service_id == ""

    in_loop(case)
