"""Real Envoys that ask for the state of the world (plain ADS) instead of changes only.

Envoy's own ``--config-yaml`` is merged over the bootstrap, so that is all an operator has to say.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import pytest

from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent
from support.envoy_sidecars import (
    STATE_OF_THE_WORLD,
    bootstrap_in_force,
    envoy_sidecar,
    rotate_root,
    statistic,
    wait_ready,
)
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.real_parts import envoys_under_test
from support.repeated_calls import calling
from support.sidecars import register_pair

pytestmark = pytest.mark.integration

LISTENER_UPDATES: Final = "listener_manager.lds.update_success"
LEAF_UPDATES: Final = "sds.leaf.update_success"


def _asks_for_everything(folder: Path, service: str) -> bool:
    source = bootstrap_in_force(folder, service)["dynamic_resources"]["ads_config"]
    return bool(source["api_type"] == "GRPC")


def _has_more(counts: dict[str, int], service: str, folder: Path) -> bool:
    """Whether the Envoy of *service* took a leaf since it had taken *counts*."""
    return statistic(folder, service, LEAF_UPDATES) > counts[service]


@pytest.mark.parametrize("version", envoys_under_test())
def test_traffic_refusal_and_upstreams_follow_consul(
    real_consul: RealConsul, tmp_path: Path, version: str
) -> None:
    first, second = free_port(), free_port()
    words = ("-xds", "local", *STATE_OF_THE_WORLD)
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=first)
        with (
            envoy_sidecar(real_consul, "web", tmp_path, *words, version=version) as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path, *words, version=version) as api_sidecar,
        ):
            for sidecar, service in ((web_sidecar, "web"), (api_sidecar, "api")):
                wait_ready(sidecar, tmp_path, service)
                assert _asks_for_everything(tmp_path, service)
            wait_until(lambda: ask(first, b"hello") == b"hello", "the first call")
            real_consul.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(first, b"hello") == b"", "the refusal")
            real_consul.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(first, b"hello") == b"hello", "the recovery")
            register_pair(real_consul, web_port=web.port, upstream_port=second)
            wait_until(lambda: ask(second, b"hello") == b"hello", "the upstream on another port")
            wait_until(lambda: ask(first, b"hello") == b"", "nothing more on the first one")
            real_consul.api.register(
                {"Name": "api", "Port": 1, "Connect": {"SidecarService": {"Proxy": {"Upstreams": []}}}}
            )
            wait_until(lambda: ask(second, b"hello") == b"", "the last upstream is gone")


@pytest.mark.parametrize("source", ["agent", "local"])
@pytest.mark.parametrize("version", envoys_under_test())
def test_new_certificates_drop_nothing_and_re_send_no_listener(
    tmp_path: Path, version: str, source: str
) -> None:
    upstream = free_port()
    with EmbeddedAgent(folder=tmp_path / "agent") as agent, echo_server() as web:
        register_pair(agent, web_port=web.port, upstream_port=upstream)
        words = ("-xds", source, *STATE_OF_THE_WORLD)
        with (
            envoy_sidecar(agent, "web", tmp_path, *words, version=version) as web_sidecar,
            envoy_sidecar(agent, "api", tmp_path, *words, version=version) as api_sidecar,
        ):
            for sidecar, service in ((web_sidecar, "web"), (api_sidecar, "api")):
                wait_ready(sidecar, tmp_path, service)
                assert _asks_for_everything(tmp_path, service)
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            listeners = statistic(tmp_path, "web", LISTENER_UPDATES)
            leaves = {service: statistic(tmp_path, service, LEAF_UPDATES) for service in ("web", "api")}
            with calling(upstream) as calls, socket.create_connection(("127.0.0.1", upstream)) as held:
                rotate_root(agent)
                wait_until(lambda: all(_has_more(leaves, each, tmp_path) for each in leaves), "new leaves")
                made = calls.made
                wait_until(lambda: calls.made > made + 5, "calls with the new certificates")
                held.sendall(b"still here")
                assert held.recv(10) == b"still here"
            assert calls.failed == 0
            assert statistic(tmp_path, "web", LISTENER_UPDATES) == listeners
