import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from connect_proxy.dev_agent.records import CRITICAL, PASSING, WARNING, CheckDefinition, ServiceRecord
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.errors import ApiError
from support.dev_agent_parts import agent_state
from support.eventually import eventually
from support.ports import free_port


def on_agent(case: Callable[[AgentState], Awaitable[None]]) -> None:
    async def run() -> None:
        state = agent_state()
        state.checks.shortest_interval = 0.01
        state.checks.shortest_deregistration = 0.01
        state.catalog.put_service(ServiceRecord(id="web", name="web"))
        try:
            await case(state)
        finally:
            state.checks.stop()

    asyncio.run(run())


def ttl(seconds: float = 60, **fields: object) -> CheckDefinition:
    return CheckDefinition(name="ttl", ttl=seconds, service_id="web", **fields)  # type: ignore[arg-type]


def alias(of: str, service_id: str = "") -> CheckDefinition:
    return CheckDefinition(name="alias", alias_service=of, service_id=service_id)


def status(state: AgentState, check_id: str) -> tuple[str, str]:
    check = state.catalog.check(check_id)
    assert check is not None
    return check.status, check.output


def test_a_check_starts_critical_or_as_it_says() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl())
        state.checks.add("b", ttl(status=PASSING))
        assert (status(state, "a"), status(state, "b")) == ((CRITICAL, ""), (PASSING, ""))

    on_agent(case)


def test_a_heartbeat_sets_status_and_note() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl())
        state.checks.heartbeat("a", status=WARNING, output="slow")
        assert status(state, "a") == (WARNING, "slow")

    on_agent(case)


def test_a_check_without_heartbeats_expires_and_tells_the_last_one() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl(0.01, status=PASSING))
        await eventually(lambda: status(state, "a") == (CRITICAL, "TTL expired"), "the expiry")
        state.checks.heartbeat("a", status=PASSING, output="fine")
        last = "TTL expired (last output before timeout follows): fine"
        await eventually(lambda: status(state, "a") == (CRITICAL, last), "the second expiry")

    on_agent(case)


def test_only_a_ttl_check_takes_heartbeats() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", alias("web"))
        for check_id in ("a", "nosuch"):
            with pytest.raises(ApiError, match=f'CheckID "{check_id}" does not have associated TTL'):
                state.checks.heartbeat(check_id, status=PASSING, output="")

    on_agent(case)


def test_a_tcp_check_follows_its_target() -> None:
    async def case(state: AgentState) -> None:
        server = socket.create_server(("127.0.0.1", free_port()))
        target = f"127.0.0.1:{server.getsockname()[1]}"
        state.checks.add("tcp", CheckDefinition(name="tcp", tcp=target, interval=0.01, service_id="web"))
        await eventually(lambda: status(state, "tcp")[0] == PASSING, "the port to be seen")
        server.close()
        await eventually(lambda: status(state, "tcp")[0] == CRITICAL, "the port to be missed")

    on_agent(case)


@pytest.mark.parametrize(
    ("damping", "start", "end"),
    [
        (CheckDefinition(success_before_passing=3), CRITICAL, PASSING),
        (CheckDefinition(failures_before_critical=3), PASSING, CRITICAL),
    ],
)
def test_a_status_changes_after_as_many_results_as_asked_for(
    damping: CheckDefinition, start: str, end: str
) -> None:
    async def case(state: AgentState) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1] if end == PASSING else 1
            check = replace(damping, name="tcp", tcp=f"127.0.0.1:{port}", interval=0.01, status=start)
            state.checks.add("tcp", check)
            await eventually(lambda: status(state, "tcp")[0] == end, "the other status")
            running = state.checks._running["tcp"]
            assert running.successes + running.failures >= 4

    on_agent(case)


def test_an_alias_is_as_the_worst_check_of_its_service() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("alias", alias("web"))
        assert status(state, "alias") == (PASSING, "No checks found.")
        state.checks.add("a", ttl(status=PASSING))
        assert status(state, "alias") == (PASSING, "All checks passing.")
        state.checks.heartbeat("a", status=WARNING, output="slow")
        assert status(state, "alias") == (WARNING, 'Aliased check "ttl" failing: slow')
        state.checks.remove("a")
        assert status(state, "alias") == (PASSING, "No checks found.")

    on_agent(case)


def test_a_check_of_the_node_counts_for_every_alias() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("alias", alias("nosuch", "web"))
        state.checks.add("disk", CheckDefinition(name="disk", ttl=60))
        assert status(state, "alias")[0] == CRITICAL

    on_agent(case)


def test_aliases_of_each_other_do_not_feed_each_other() -> None:
    async def case(state: AgentState) -> None:
        state.catalog.put_service(ServiceRecord(id="db", name="db"))
        state.checks.add("one", alias("db", "web"))
        state.checks.add("two", alias("web", "db"))
        assert status(state, "one")[0] == status(state, "two")[0] == PASSING

    on_agent(case)


def test_a_service_that_is_critical_for_too_long_is_deregistered_and_one_that_recovers_is_not() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl(deregister_after=0.01, status=PASSING))
        state.checks.heartbeat("a", status=CRITICAL, output="")
        state.checks.heartbeat("a", status=PASSING, output="")
        assert state.checks._running["a"].removal is None
        state.checks.heartbeat("a", status=CRITICAL, output="")
        await eventually(lambda: state.catalog.service("web") is None, "the removal")
        assert state.catalog.check("a") is None

    on_agent(case)


def test_registering_a_check_again_keeps_its_status() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl())
        state.checks.heartbeat("a", status=PASSING, output="fine")
        state.checks.add("a", ttl())
        assert status(state, "a") == (PASSING, "fine")
        assert state.checks.timers == 1

    on_agent(case)


def test_a_removed_check_is_gone_for_good() -> None:
    async def case(state: AgentState) -> None:
        state.checks.add("a", ttl(0.01))
        state.checks.remove("a")
        state.checks.remove("nosuch")
        assert state.catalog.check("a") is None
        assert state.checks.timers == 0

    on_agent(case)
