"""A passing instance that nobody answers at: calls go to the other one, through real Envoys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.applications import ask, echo_server, http_get, http_server
from support.embedded_agent import EmbeddedAgent
from support.envoy_sidecars import admin_of, envoy_sidecar, wait_ready
from support.ports import free_port
from support.processes import wait_until
from support.real_parts import envoys_under_test

pytestmark = pytest.mark.integration

CHECK = {"TTL": "1h", "Status": "passing"}


def _register(agent: EmbeddedAgent, *, web_port: int, upstream_port: int, protocol: str) -> None:
    """Services web, web2 (whose sidecar is never started) and api, which calls web."""
    config = {"protocol": protocol}
    for service_id, port in (("web", web_port), ("web2", 1)):
        sidecar: dict[str, Any] = {"Check": CHECK, "Proxy": {"Config": config}}
        agent.api.register(
            {"Name": "web", "ID": service_id, "Port": port, "Connect": {"SidecarService": sidecar}}
        )
    upstream = {"DestinationName": "web", "LocalBindPort": upstream_port, "Config": config}
    sidecar = {"Check": CHECK, "Proxy": {"Upstreams": [upstream]}}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})


def _expect_no_failure(
    agent: EmbeddedAgent, folder: Path, version: str, answered: Callable[[], bool]
) -> None:
    """Call until the dead instance was tried several times: every call has to succeed."""
    admin = admin_of(folder, "api")

    def failed_attempts() -> int:
        found = admin.statistics(r"^cluster\.web\..*\.upstream_cx_connect_fail$")
        return sum(found.values())

    def calls() -> int:
        assert answered()
        return failed_attempts()

    with (
        envoy_sidecar(agent, "web", folder, "-xds", "local", version=version) as web_sidecar,
        envoy_sidecar(agent, "api", folder, "-xds", "local", version=version) as api_sidecar,
    ):
        wait_ready(web_sidecar, folder, "web")
        wait_ready(api_sidecar, folder, "api")
        wait_until(lambda: calls() >= 3, "the dead instance is tried")


@pytest.mark.parametrize("version", envoys_under_test())
def test_a_connection_goes_to_another_instance(
    embedded_agent: EmbeddedAgent, tmp_path: Path, version: str
) -> None:
    upstream = free_port()
    with echo_server() as web:
        _register(embedded_agent, web_port=web.port, upstream_port=upstream, protocol="tcp")
        _expect_no_failure(embedded_agent, tmp_path, version, lambda: ask(upstream, b"hello") == b"hello")


@pytest.mark.parametrize("version", envoys_under_test())
def test_a_request_goes_to_another_instance(
    embedded_agent: EmbeddedAgent, tmp_path: Path, version: str
) -> None:
    upstream = free_port()
    with http_server(b"hello") as web_port:
        _register(embedded_agent, web_port=web_port, upstream_port=upstream, protocol="http")
        _expect_no_failure(embedded_agent, tmp_path, version, lambda: http_get(upstream) == (200, b"hello"))
