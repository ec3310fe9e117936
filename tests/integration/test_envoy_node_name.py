"""``-node-name``: the proxy stands in the catalog, and no agent has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.agents import AgentUnderTest, client_environment
from support.catalog import wait_for_catalog
from support.embedded_agent import connect_proxy_program
from support.envoy_programs import recorded, recording_envoy
from support.ports import free_port
from support.processes import Program, run
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

PROXY: dict[str, Any] = {
    "Config": {"envoy_prometheus_bind_addr": "127.0.0.1:9102", "protocol": "http"},
    "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9191}],
}
GATEWAY: dict[str, Any] = {"Kind": "mesh-gateway", "Name": "mesh-gateway", "ID": "edge", "Port": 8443}
PROXY_ID = "web-sidecar-proxy"
ELSEWHERE = "pod-1"


def _register(agent: AgentUnderTest) -> str:
    """A sidecar and a gateway at the agent; the name of its node."""
    agent.api.register({"Name": "web", "Port": 8080, "Connect": {"SidecarService": {"Proxy": PROXY}}})
    agent.api.register(GATEWAY)
    wait_for_catalog(agent.api)
    return str(agent.api.get("/v1/agent/self").json["Config"]["NodeName"])


def _run(agent: AgentUnderTest, *words: str) -> Any:
    environment = client_environment(CONSUL_HTTP_ADDR=agent.address)
    return run([connect_proxy_program(), "envoy", *words], env=environment)


def _bootstrap(agent: AgentUnderTest, *words: str) -> Any:
    done = _run(agent, *words, "-bootstrap")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def node_without_agent(real_consul: RealConsul) -> Iterator[RealConsul]:
    """The same sidecar as the agent's, in the catalog at a node on which nothing runs."""
    service = {
        "Kind": "connect-proxy",
        "ID": PROXY_ID,
        "Service": PROXY_ID,
        "Port": 21000,
        "Proxy": PROXY
        | {
            "DestinationServiceName": "web",
            "DestinationServiceID": "web",
            "LocalServiceAddress": "127.0.0.1",
            "LocalServicePort": 8080,
        },
    }
    body = {"Node": ELSEWHERE, "Address": "127.0.0.9", "Service": service}
    assert real_consul.api.put("/v1/catalog/register", body).status == 200
    yield real_consul
    assert real_consul.api.put("/v1/catalog/deregister", {"Node": ELSEWHERE}).status == 200


@pytest.mark.parametrize("words", [("-proxy-id", PROXY_ID), ("-gateway", "mesh", "-proxy-id", "edge")])
def test_the_bootstrap_is_that_of_the_agents_registration_but_for_the_nodes_name(
    agent: AgentUnderTest, words: tuple[str, ...]
) -> None:
    node = _register(agent)
    plain, named = _bootstrap(agent, *words), _bootstrap(agent, *words, "-node-name", node)
    metadata = named["node"]["metadata"]
    assert next(iter(metadata.items())) == ("node_name", node)
    assert metadata.pop("node_name") == node
    assert named == plain


def test_a_proxy_on_a_node_without_an_agent_is_found(node_without_agent: RealConsul) -> None:
    words = ("-proxy-id", PROXY_ID, "-node-name", ELSEWHERE)
    alone = _bootstrap(node_without_agent, *words)
    assert alone["node"]["metadata"].pop("node_name") == ELSEWHERE
    _register(node_without_agent)
    assert alone == _bootstrap(node_without_agent, "-proxy-id", PROXY_ID)


def test_envoy_is_started_for_a_proxy_on_a_node_without_an_agent(
    node_without_agent: RealConsul, tmp_path: Path
) -> None:
    """Of this Consul's time: it speaks its xDS."""
    environment = client_environment(CONSUL_HTTP_ADDR=node_without_agent.address)
    words = ["-proxy-id", PROXY_ID, "-node-name", ELSEWHERE, "-admin-bind", f"127.0.0.1:{free_port()}"]
    argv: list[str | Path] = [connect_proxy_program(), "envoy", *words]
    argv += ["-envoy-binary", recording_envoy(tmp_path, "1.14.5")]
    with Program(argv, folder=tmp_path, env=environment) as program:
        assert program.wait() == 7, "Envoy's own exit code"
        program.wait_for_output("xDS by the agent: with -node-name no agent has the registration")
    read = json.loads(recorded(tmp_path)["read"]["--config-path"])
    assert read == _bootstrap(node_without_agent, *words)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["-node-name", "NODE"], 2, "-node-name 'NODE' requires -proxy-id: say which proxy"),
        (["-sidecar-for", "web", "-node-name", "NODE"], 2, "-node-name 'NODE' requires -proxy-id"),
        (["-gateway", "mesh", "-node-name", "NODE"], 2, "-node-name 'NODE' requires -proxy-id"),
        (
            ["-gateway", "mesh", "-register", "-proxy-id", "new", "-node-name", "NODE"],
            2,
            "leave one of the two out",
        ),
        (["-xds", "local", "-proxy-id", PROXY_ID, "-node-name", "NODE"], 2, "leave -xds local out"),
        (["-proxy-id", PROXY_ID, "-node-name", "no where"], 1, "no node 'no where' is in the catalog"),
        (
            ["-proxy-id", "web-sidecar-prox", "-node-name", "NODE"],
            1,
            "no proxy with id 'web-sidecar-prox' is in the catalog of node 'NODE': "
            "did you mean 'web-sidecar-proxy'?",
        ),
        (["-proxy-id", 'a"b', "-node-name", "NODE"], 1, "no proxy with id 'a\"b' is in the catalog"),
        (["-proxy-id", "web", "-node-name", "NODE"], 1, "'a plain service', not 'connect-proxy'"),
        (["-proxy-id", "edge", "-node-name", "NODE"], 1, "'edge' is of the wrong kind: 'mesh-gateway'"),
    ],
)
def test_what_does_not_fit_or_is_not_there_is_told(
    agent: AgentUnderTest, words: list[str], code: int, complaint: str
) -> None:
    node = _register(agent)
    done = _run(agent, *(node if word == "NODE" else word for word in words), "-bootstrap")
    assert done.returncode == code, done.stderr
    assert complaint.replace("'NODE'", f"'{node}'") in done.stderr
    assert done.stdout == ""
    assert agent.api.get("/v1/agent/service/new").status == 404
