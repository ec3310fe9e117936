import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from connect_proxy.consul.client import connect_consul
from connect_proxy.consul.sidecar_lookup import find_proxy
from connect_proxy.errors import (
    AgentUnreachableError,
    NoLeaderError,
    NotReadyError,
    PermissionDeniedError,
    RegistrationAmbiguousError,
    RegistrationMissingError,
    UsageError,
    WrongKindError,
)
from connect_proxy.mesh.registration import Registration
from support import consul_answers
from support.manual_clock import ManualClock
from support.ports import free_port
from support.scripted_agent import Raw, Reply, ScriptedAgent, text

SERVICES = "/v1/agent/services"


def knowing(*services: dict[str, Any]) -> Callable[[ScriptedAgent], None]:
    """An agent at which *services* are registered."""

    def fill(agent: ScriptedAgent) -> None:
        agent.put(SERVICES, {one["ID"]: one for one in services})
        for one in services:
            agent.put(f"/v1/agent/service/{one['ID']}", one, by_hash=True)

    return fill


def find(
    fill: Callable[[ScriptedAgent], None],
    *,
    clock: ManualClock | None = None,
    **wanted: Any,
) -> Registration:
    async def go() -> Registration:
        async with ScriptedAgent() as agent:
            fill(agent)
            client = connect_consul(agent.access())
            try:
                return await find_proxy(client, clock=clock or ManualClock(), **wanted)
            finally:
                await client.aclose()

    return asyncio.run(go())


def test_a_proxy_is_found_by_its_id() -> None:
    found = find(knowing(consul_answers.sidecar()), proxy_id="web-sidecar-proxy")
    assert found.destination_service_name == "web"
    assert found.content_hash


def test_a_sidecar_is_found_by_the_id_of_its_service_without_regard_to_case() -> None:
    fill = knowing(consul_answers.sidecar("Web"), consul_answers.sidecar("db"))
    assert find(fill, sidecar_for="wEB").id == "Web-sidecar-proxy"


def test_the_service_itself_need_not_exist() -> None:
    assert find(knowing(consul_answers.sidecar()), sidecar_for="web").id == "web-sidecar-proxy"


def test_it_is_the_services_id_that_counts_not_its_name() -> None:
    fill = knowing(consul_answers.sidecar("web-1", destination="web"))
    assert find(fill, sidecar_for="web-1").destination_service_name == "web"
    with pytest.raises(RegistrationMissingError, match="'web-1'"):
        find(fill, sidecar_for="web")


def test_the_proxy_id_wins_over_the_service() -> None:
    fill = knowing(consul_answers.sidecar(), consul_answers.sidecar("db"))
    assert find(fill, proxy_id="db-sidecar-proxy", sidecar_for="web").id == "db-sidecar-proxy"


def test_neither_id_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="-proxy-id"):
        find(knowing())


def test_no_sidecar_names_the_service() -> None:
    with pytest.raises(RegistrationMissingError, match="'web'"):
        find(knowing(consul_answers.plain_service("web")), sidecar_for="web")


def test_several_sidecars_are_all_listed_in_order() -> None:
    fill = knowing(*(consul_answers.sidecar("web", proxy_id=name) for name in ("p3", "p1", "p2")))
    with pytest.raises(RegistrationAmbiguousError, match="'p1', 'p2', 'p3'") as failure:
        find(fill, sidecar_for="web")
    assert failure.value.proxy_ids == ("p1", "p2", "p3")


def test_a_plain_service_is_of_the_wrong_kind_and_its_sidecar_is_hinted_at() -> None:
    with pytest.raises(WrongKindError, match=r"a plain service.*-sidecar-for web"):
        find(knowing(consul_answers.plain_service("web")), proxy_id="web")


def test_a_gateway_is_of_the_wrong_kind() -> None:
    gateway = consul_answers.sidecar(proxy_id="gw") | {"Kind": "mesh-gateway"}
    with pytest.raises(WrongKindError, match="'mesh-gateway'"):
        find(knowing(gateway), proxy_id="gw")


def test_an_unknown_proxy_names_near_ids_of_proxies_only() -> None:
    fill = knowing(consul_answers.sidecar(), consul_answers.plain_service("web-sidecar-prox"))
    with pytest.raises(RegistrationMissingError, match=r"'web-sidecar'.*mean 'web-sidecar-proxy'\?"):
        find(fill, proxy_id="web-sidecar")


def test_the_id_of_a_proxy_given_as_a_service_is_told() -> None:
    with pytest.raises(RegistrationMissingError, match="-proxy-id web-sidecar-proxy may be meant"):
        find(knowing(consul_answers.sidecar()), sidecar_for="web-sidecar-proxy")


def test_without_a_wait_nothing_is_tried_again() -> None:
    clock = ManualClock()
    with pytest.raises(RegistrationMissingError):
        find(knowing(), proxy_id="p", clock=clock)
    assert clock.slept == []


def test_a_registration_that_comes_later_is_waited_for() -> None:
    sidecar = consul_answers.sidecar()

    def fill(agent: ScriptedAgent) -> None:
        knowing(sidecar)(agent)
        agent.script("/v1/agent/service/web-sidecar-proxy", *[text(404, "unknown service ID: x")] * 3)

    clock = ManualClock()
    assert find(fill, proxy_id="web-sidecar-proxy", wait_s=10, clock=clock).id == sidecar["ID"]
    assert len(clock.slept) == 3


def test_a_hanging_up_agent_and_a_missing_leader_are_waited_for() -> None:
    def fill(agent: ScriptedAgent) -> None:
        knowing(consul_answers.sidecar())(agent)
        agent.script(SERVICES, Raw(), text(500, "No cluster leader"))

    clock = ManualClock()
    assert find(fill, sidecar_for="web", wait_s=10, clock=clock).id == "web-sidecar-proxy"
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("reply", "error"), [(Raw(), AgentUnreachableError), (text(500, "No cluster leader"), NoLeaderError)]
)
def test_without_a_wait_they_are_told_at_once(reply: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        find(lambda agent: agent.script(SERVICES, reply), sidecar_for="web")


def test_what_never_comes_is_not_ready_with_the_last_reason() -> None:
    clock = ManualClock()
    with pytest.raises(NotReadyError, match=r"within '7\.5' s: no proxy with id 'p'") as failure:
        find(knowing(), proxy_id="p", wait_s=7.5, clock=clock)
    assert failure.value.exit_code == 5
    assert clock.elapsed == pytest.approx(7.5)


def test_the_waits_grow_to_two_seconds() -> None:
    clock = ManualClock(randoms=1.0)
    with pytest.raises(NotReadyError):
        find(knowing(), proxy_id="p", wait_s=20, clock=clock)
    assert clock.slept[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert max(clock.slept) == 2.0


def test_what_waiting_cannot_heal_is_told_at_once() -> None:
    clock = ManualClock()
    fill = knowing(consul_answers.plain_service("web"))
    with pytest.raises(WrongKindError):
        find(fill, proxy_id="web", wait_s=60, clock=clock)
    with pytest.raises(PermissionDeniedError):
        find(
            lambda agent: agent.always(SERVICES, text(403, "Permission denied")),
            sidecar_for="web",
            wait_s=60,
            clock=clock,
        )
    assert clock.slept == []


def test_an_agent_that_never_listens_is_not_ready_either() -> None:
    async def go() -> None:
        agent = ScriptedAgent(port=free_port())
        client = connect_consul(agent.access())
        try:
            await find_proxy(client, proxy_id="p", wait_s=3, clock=ManualClock())
        finally:
            await client.aclose()

    with pytest.raises(NotReadyError, match="connection refused"):
        asyncio.run(go())


NODE_SERVICES = "/v1/catalog/node-services/pod-1"


def in_catalog(*services: dict[str, Any]) -> Callable[[ScriptedAgent], None]:
    """An agent at which nothing is registered, and a catalog with *services* at node ``pod-1``."""

    def fill(agent: ScriptedAgent) -> None:
        agent.put(NODE_SERVICES, consul_answers.node_services(*services))
        agent.put("/v1/catalog/node-services/nowhere", {"Node": None, "Services": None})

    return fill


def test_with_a_node_the_proxy_is_read_from_its_record_in_the_catalog() -> None:
    fill = in_catalog(consul_answers.sidecar(), consul_answers.sidecar("db"))
    found = find(fill, proxy_id="db-sidecar-proxy", node="pod-1")
    assert (found.destination_service_name, found.datacenter) == ("db", "dc1")


def test_a_gateway_is_found_there_too() -> None:
    gateway = {**consul_answers.sidecar(proxy_id="edge"), "Kind": "mesh-gateway"}
    found = find(in_catalog(gateway), proxy_id="edge", kind="mesh-gateway", node="pod-1")
    assert found.kind == "mesh-gateway"


@pytest.mark.parametrize("wanted", [{}, {"sidecar_for": "web"}, {"kind": "mesh-gateway"}])
def test_a_node_without_a_proxys_id_is_a_usage_error(wanted: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^-node-name 'pod-1' requires -proxy-id: .*CONNECT_PROXY_ID"):
        find(in_catalog(consul_answers.sidecar()), node="pod-1", **wanted)


def test_an_unknown_node_is_missing() -> None:
    with pytest.raises(RegistrationMissingError, match=r"no node 'nowhere' is in the catalog.*-datacenter"):
        find(in_catalog(), proxy_id="p", node="nowhere")


def test_an_unknown_proxy_of_a_node_is_missing_and_a_near_one_is_named() -> None:
    with pytest.raises(
        RegistrationMissingError, match=r"of node 'pod-1': did you mean 'web-sidecar-proxy'\?"
    ):
        find(in_catalog(consul_answers.sidecar()), proxy_id="web-sidecar-prox", node="pod-1")


def test_two_services_of_one_id_are_ambiguous() -> None:
    twice = in_catalog(consul_answers.sidecar(), consul_answers.sidecar())
    with pytest.raises(RegistrationAmbiguousError, match=r"2 services with id .*-namespace"):
        find(twice, proxy_id="web-sidecar-proxy", node="pod-1")


def test_a_plain_service_of_a_node_is_of_the_wrong_kind() -> None:
    plain = {**consul_answers.sidecar(proxy_id="web"), "Kind": ""}
    with pytest.raises(WrongKindError, match="'a plain service'") as failure:
        find(in_catalog(plain), proxy_id="web", node="pod-1")
    assert "-sidecar-for" not in str(failure.value)


def test_a_proxy_that_is_not_in_the_catalog_yet_is_waited_for() -> None:
    def fill(agent: ScriptedAgent) -> None:
        in_catalog(consul_answers.sidecar())(agent)
        agent.script(NODE_SERVICES, Reply(body={"Node": None, "Services": None}))

    clock = ManualClock()
    found = find(fill, proxy_id="web-sidecar-proxy", node="pod-1", wait_s=10, clock=clock)
    assert found.id == "web-sidecar-proxy"
    assert len(clock.slept) == 1
