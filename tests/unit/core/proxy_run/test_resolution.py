"""From what was asked for to what is known."""

import asyncio
import logging

import pytest

from connect_proxy.backends import load_backend
from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import UsageError
from connect_proxy.mesh.registration import Upstream
from connect_proxy.plugin_api import ProxyContext, Source, Sourced
from connect_proxy.proxy_run.request import RunRequest
from connect_proxy.proxy_run.resolution import resolve, warn_of_open_doors
from connect_proxy.testing import examples
from support.consul_answers import node_services, sidecar
from support.scripted_agent import ScriptedAgent


def warnings_of(caplog: pytest.LogCaptureFixture, **parts: object) -> list[str]:
    with caplog.at_level(logging.WARNING):
        warn_of_open_doors(examples.registration(**parts))
    return caplog.messages


def test_an_upstream_on_loopback_is_no_open_door(caplog: pytest.LogCaptureFixture) -> None:
    upstreams = (
        Upstream(destination_name="a", local_bind_port=1),
        Upstream(destination_name="b", local_bind_port=2, local_bind_address="127.0.0.2"),
        Upstream(destination_name="c", local_bind_port=3, local_bind_address="::1"),
        Upstream(destination_name="d", local_bind_port=4, local_bind_address="localhost"),
        Upstream(destination_name="e", local_bind_socket_path="/run/e.sock"),
    )
    assert warnings_of(caplog, upstreams=upstreams) == []


@pytest.mark.parametrize(
    ("address", "shown"), [("0.0.0.0", "0.0.0.0"), ("::", "[::]"), ("10.1.2.3",) * 2, ("some-host",) * 2]
)
def test_an_upstream_that_others_can_reach_is_warned_of(
    caplog: pytest.LogCaptureFixture, address: str, shown: str
) -> None:
    upstream = Upstream(destination_name="db", local_bind_port=9191, local_bind_address=address)
    (said,) = warnings_of(caplog, upstreams=(upstream,))
    assert "'db'" in said
    assert f"{shown}:9191" in said
    assert "speaks as 'web'" in said


def test_a_local_service_that_others_can_reach_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    (said,) = warnings_of(caplog, local_service_address="10.1.2.3", upstreams=())
    assert "10.1.2.3:8080" in said


def test_a_run_without_a_proxys_name_says_how_to_name_one() -> None:
    request = RunRequest(backend=load_backend("custom_exec"), access=AgentAccess())
    with pytest.raises(UsageError, match=r"-sidecar-for.*-proxy-id"):
        asyncio.run(resolve(request))


NODE = {"node-name": Sourced("pod-1", Source.FLAG, "-node-name")}


def test_the_node_that_a_backend_wants_is_read_from_the_catalog() -> None:
    async def go() -> ProxyContext:
        async with ScriptedAgent() as agent:
            agent.put("/v1/catalog/node-services/pod-1", node_services(sidecar()))
            agent.put("/v1/agent/self", {"Config": {"Datacenter": "dc9"}})
            return await resolve(_request(agent.access(), proxy_id="web-sidecar-proxy"))

    context = asyncio.run(go())
    assert context.registration.id == "web-sidecar-proxy"
    assert context.datacenter == "dc1", "the proxy's, not that of the agent that was asked"


def test_a_node_without_a_proxys_id_is_told_before_anything_else() -> None:
    with pytest.raises(UsageError, match="-node-name 'pod-1' requires -proxy-id"):
        asyncio.run(resolve(_request(AgentAccess())))


@pytest.mark.parametrize(
    ("option", "value", "is_said"),
    [("service", "x", True), ("listen", ":1", True), ("register", False, False)],
)
def test_what_the_command_line_describes_beside_a_registered_proxy_is_said_to_be_left_aside(
    caplog: pytest.LogCaptureFixture, option: str, value: object, is_said: bool
) -> None:
    backend = load_backend("builtin")
    options = {row.name: Sourced(row.default, Source.DEFAULT) for row in backend.options()}
    options[option] = Sourced(value, Source.FLAG, f"-{option}")

    async def go() -> ProxyContext:
        async with ScriptedAgent() as agent:
            agent.put("/v1/agent/service/web-sidecar-proxy", sidecar())
            agent.put("/v1/agent/self", {"Config": {"Datacenter": "dc1"}})
            access, proxy_id = agent.access(), "web-sidecar-proxy"
            return await resolve(
                RunRequest(
                    backend=backend, access=access, proxy_id=proxy_id, options=options, bootstrap=True
                )
            )

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(go()).registration.id == "web-sidecar-proxy"
    assert ("left aside" in caplog.text) is is_said


def _request(access: AgentAccess, proxy_id: str = "") -> RunRequest:
    backend = load_backend("envoy")
    defaults = {row.name: Sourced(row.default, Source.DEFAULT) for row in backend.options()}
    return RunRequest(
        backend=backend, access=access, proxy_id=proxy_id, options=defaults | NODE, bootstrap=True
    )
