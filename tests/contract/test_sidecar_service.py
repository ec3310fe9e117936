"""``connect.sidecar_service``: the second service that an agent derives from a registration."""

from __future__ import annotations

from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.processes import wait_until

pytestmark = pytest.mark.contract


def _with_sidecar(name: str = "web", **sidecar: Any) -> dict[str, Any]:
    return {"Name": name, "Port": 8080, "Connect": {"SidecarService": sidecar}}


def _port(agent: AgentUnderTest, service_id: str) -> int:
    """The port of a service, counted from the first of the agent's sidecar ports."""
    port: int = agent.api.get(f"/v1/agent/service/{service_id}").json["Port"]
    return port - agent.sidecar_ports.first


def test_a_sidecar_is_derived_from_its_parent(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())
    sidecar = agent.api.get("/v1/agent/service/web-sidecar-proxy").json
    assert (sidecar["Kind"], sidecar["ID"]) == ("connect-proxy", "web-sidecar-proxy")
    assert sidecar["Service"] == "web-sidecar-proxy"
    proxy = sidecar["Proxy"]
    assert (proxy["DestinationServiceName"], proxy["DestinationServiceID"]) == ("web", "web")
    assert (proxy["LocalServiceAddress"], proxy["LocalServicePort"]) == ("127.0.0.1", 8080)


def test_the_parent_is_shown_without_its_sidecar_definition(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())
    parent = agent.api.get("/v1/agent/services").json["web"]
    assert "SidecarService" not in parent.get("Connect", {})
    assert "Proxy" not in parent


def test_id_and_destination_follow_the_parents_id_and_name(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar() | {"ID": "web-1"})
    sidecar = agent.api.get("/v1/agent/service/web-1-sidecar-proxy").json
    assert sidecar["Service"] == "web-sidecar-proxy"
    assert sidecar["Proxy"]["DestinationServiceName"] == "web"
    assert sidecar["Proxy"]["DestinationServiceID"] == "web-1"


def test_another_name_leaves_the_destination_id(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar(Name="other") | {"ID": "web-1"})
    sidecar = agent.api.get("/v1/agent/service/web-1-sidecar-proxy").json
    assert (sidecar["Service"], sidecar["Proxy"]["DestinationServiceID"]) == ("other", "web-1")


def test_tags_meta_and_address_are_copied_where_the_sidecar_has_none(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar() | {"Tags": ["v1"], "Meta": {"a": "b"}, "Address": "127.0.0.2"})
    sidecar = agent.api.get("/v1/agent/service/web-sidecar-proxy").json
    assert (sidecar["Tags"], sidecar["Meta"], sidecar["Address"]) == (["v1"], {"a": "b"}, "127.0.0.2")


def test_tags_and_meta_of_the_sidecar_win(agent: AgentUnderTest) -> None:
    own = _with_sidecar(Tags=["side"], Meta={"c": "d"})
    agent.api.register(own | {"Tags": ["v1"], "Meta": {"a": "b"}})
    sidecar = agent.api.get("/v1/agent/service/web-sidecar-proxy").json
    assert (sidecar["Tags"], sidecar["Meta"]) == (["side"], {"c": "d"})


def test_ports_are_the_lowest_free_ones(agent: AgentUnderTest) -> None:
    for name in ("a", "b", "c"):
        agent.api.register(_with_sidecar(name))
    assert [_port(agent, f"{name}-sidecar-proxy") for name in "abc"] == [0, 1, 2]
    agent.api.deregister("b")
    agent.api.register(_with_sidecar("d"))
    assert _port(agent, "d-sidecar-proxy") == 1


def test_a_port_that_another_service_names_is_not_given_out(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "squatter", "Port": agent.sidecar_ports.first})
    agent.api.register(_with_sidecar())
    assert _port(agent, "web-sidecar-proxy") == 1


def test_registering_again_keeps_the_port(agent: AgentUnderTest) -> None:
    for name in ("a", "b"):
        agent.api.register(_with_sidecar(name))
    agent.api.deregister("a")
    agent.api.register(_with_sidecar("b", Tags=["again"]))
    assert _port(agent, "b-sidecar-proxy") == 1


def test_an_explicit_port_is_used_as_it_is(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar(Port=7777))
    assert agent.api.get("/v1/agent/service/web-sidecar-proxy").json["Port"] == 7777


def test_a_used_up_range_is_an_error_that_names_it(agent: AgentUnderTest) -> None:
    ports = agent.sidecar_ports
    for port in range(ports.first, ports.last + 1):
        agent.api.register({"Name": f"s{port}", "Port": port})
    answer = agent.api.put("/v1/agent/service/register", _with_sidecar())
    assert answer.status in (400, 500)
    assert f"[{ports.first}, {ports.last}]" in answer.text
    assert "web" not in agent.api.get("/v1/agent/services").json


def test_the_default_checks_are_listening_and_alias(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())

    def known() -> list[dict[str, Any]]:
        checks = agent.api.get("/v1/agent/checks").json
        return [checks[f"service:web-sidecar-proxy:{number}"] for number in (1, 2)]

    # The alias follows what the parent has: it looks for the first time a moment after its start.
    wait_until(lambda: known()[1]["Output"], "the alias has looked")
    listening, alias = known()
    assert (listening["Name"], listening["Type"]) == ("Connect Sidecar Listening", "tcp")
    assert listening["Status"] == "critical"
    assert (alias["Name"], alias["Type"]) == ("Connect Sidecar Aliasing web", "alias")
    assert (alias["Status"], alias["Output"]) == ("passing", "No checks found.")
    assert alias["ServiceID"] == listening["ServiceID"] == "web-sidecar-proxy"


def test_own_checks_replace_the_default_ones(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar(Check={"TTL": "60s"}))
    assert set(agent.api.get("/v1/agent/checks").json) == {"service:web-sidecar-proxy"}


def test_the_alias_check_follows_the_parents_checks(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar() | {"Check": {"TTL": "60s"}})

    def alias() -> str:
        return str(agent.api.get("/v1/agent/checks").json["service:web-sidecar-proxy:2"]["Status"])

    wait_until(lambda: alias() == "critical", "the alias of a critical parent is critical")
    assert agent.api.put("/v1/agent/check/pass/service:web").status == 200
    wait_until(lambda: alias() == "passing", "the alias of a passing parent passes")


def test_the_sidecar_goes_with_its_parent(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())
    agent.api.deregister("web")
    assert agent.api.get("/v1/agent/services").json == {}
    assert agent.api.get("/v1/agent/checks").json == {}


def test_the_sidecar_may_go_alone(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())
    agent.api.deregister("web-sidecar-proxy")
    assert set(agent.api.get("/v1/agent/services").json) == {"web"}


def test_registering_the_parent_without_a_sidecar_keeps_the_sidecar(agent: AgentUnderTest) -> None:
    agent.api.register(_with_sidecar())
    agent.api.register({"Name": "web", "Port": 8080})
    assert "web-sidecar-proxy" in agent.api.get("/v1/agent/services").json
    agent.api.deregister("web")
    assert agent.api.get("/v1/agent/services").json == {}


def test_a_proxy_registered_by_hand_under_the_derived_id_stays(agent: AgentUnderTest) -> None:
    agent.api.register({"Name": "web", "Port": 8080})
    agent.api.register(
        {
            "Name": "web-sidecar-proxy",
            "Kind": "connect-proxy",
            "Port": 7777,
            "Proxy": {"DestinationServiceName": "web"},
        }
    )
    agent.api.deregister("web")
    assert set(agent.api.get("/v1/agent/services").json) == {"web-sidecar-proxy"}


def test_upstreams_and_config_are_kept(agent: AgentUnderTest) -> None:
    upstream = {"DestinationName": "db", "LocalBindPort": 9191, "Config": {"connect_timeout_ms": 3000}}
    agent.api.register(_with_sidecar(Proxy={"Config": {"protocol": "tcp"}, "Upstreams": [upstream]}))
    proxy = agent.api.get("/v1/agent/service/web-sidecar-proxy").json["Proxy"]
    assert proxy["Config"] == {"protocol": "tcp"}
    (shown,) = proxy["Upstreams"]
    assert {name: shown[name] for name in upstream} == upstream


def test_a_wrong_check_in_the_sidecar_is_refused(agent: AgentUnderTest) -> None:
    answer = agent.api.put("/v1/agent/service/register", _with_sidecar(Check={"TCP": "127.0.0.1:1"}))
    assert answer.status in (400, 500)
    assert "Invalid check in sidecar_service" in answer.text
    assert agent.api.get("/v1/agent/services").json == {}
