"""Intentions with L7 permissions, through real Envoys: request by request, as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from support.applications import ask, echo_server, http_get, http_server
from support.embedded_agent import EmbeddedAgent
from support.envoy_sidecars import STATE_OF_THE_WORLD, envoy_sidecar, statistic, wait_ready
from support.ports import free_port
from support.processes import wait_until
from support.real_parts import envoys_under_test
from support.sidecars import register_pair

pytestmark = pytest.mark.integration

DRAINING: Final = "listener_manager.total_filter_chains_draining"
CHECK: Final = {"TTL": "1h", "Status": "passing"}
PERMISSIONS: Final = [
    {"Action": "deny", "HTTP": {"PathPrefix": "/v1/admin"}},
    {"Action": "allow", "HTTP": {"PathRegex": "/v[12]/.*", "Methods": ["GET"]}},
    {
        "Action": "allow",
        "HTTP": {"PathExact": "/kinds", "Header": [{"Name": "x-kind", "Exact": "A", "IgnoreCase": True}]},
    },
    {"Action": "deny", "HTTP": {"PathPrefix": "/"}},
]
REQUESTS: Final = [
    ("GET", "/v1/users", {}, 200),
    ("GET", "/v1/users?page=2", {}, 200),
    ("POST", "/v1/users", {}, 403),
    ("GET", "/v3/users", {}, 403),
    ("GET", "/v1/admin/users", {}, 403),
    ("GET", "/v1/users/../admin", {}, 403),
    ("GET", "/kinds", {}, 403),
    ("GET", "/kinds", {"x-kind": "a"}, 200),
    ("POST", "/kinds", {"x-kind": "A"}, 200),
    ("GET", "/kinds", {"x-kind": "b"}, 403),
    ("GET", "/kinds/", {"x-kind": "a"}, 403),
    ("GET", "/", {}, 403),
]

SOURCES: Final = {
    "agent": ("-xds", "agent"),
    "local": ("-xds", "local"),
    "state-of-the-world": ("-xds", "local", *STATE_OF_THE_WORLD),
}


def _register(agent: EmbeddedAgent, *, web_port: int, upstream_port: int) -> None:
    """Services web and api, which calls it, of protocol http."""
    config = {"protocol": "http"}
    sidecar: dict[str, Any] = {"Check": CHECK, "Proxy": {"Config": config}}
    agent.api.register({"Name": "web", "Port": web_port, "Connect": {"SidecarService": sidecar}})
    upstream = {"DestinationName": "web", "LocalBindPort": upstream_port, "Config": config}
    sidecar = {"Check": CHECK, "Proxy": {"Upstreams": [upstream]}}
    agent.api.register({"Name": "api", "Port": 1, "Connect": {"SidecarService": sidecar}})


def _permit(agent: EmbeddedAgent, permissions: list[dict[str, Any]]) -> None:
    answer = agent.api.put(
        "/v1/connect/intentions/exact", {"Permissions": permissions}, source="api", destination="web"
    )
    assert answer.status == 200, answer.text


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("version", envoys_under_test())
def test_each_request_is_decided_by_the_first_permission_that_matches(
    embedded_agent: EmbeddedAgent, tmp_path: Path, version: str, source: str
) -> None:
    upstream, xds = free_port(), SOURCES[source]

    def given() -> list[tuple[str, str, dict[str, str], int]]:
        return [
            (method, path, headers, http_get(upstream, path, method=method, headers=headers)[0])
            for method, path, headers, _ in REQUESTS
        ]

    with http_server(b"hello") as web_port:
        _register(embedded_agent, web_port=web_port, upstream_port=upstream)
        with (
            envoy_sidecar(embedded_agent, "web", tmp_path, *xds, version=version) as web_sidecar,
            envoy_sidecar(embedded_agent, "api", tmp_path, *xds, version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: http_get(upstream) == (200, b"hello"), "the first call")
            _permit(embedded_agent, PERMISSIONS)
            # Each of Envoy's workers may have a connection from before that decides once more.
            wait_until(lambda: [given(), given()] == [REQUESTS] * 2, "the permissions in force everywhere")
            wait_until(
                lambda: statistic(tmp_path, "web", DRAINING) >= 1, "the drain of what runs since before"
            )
            embedded_agent.api.clear_intentions()
            wait_until(lambda: http_get(upstream) == (200, b"hello"), "everything is allowed again")
            embedded_agent.api.set_intention("api", "web", "deny")
            wait_until(lambda: http_get(upstream)[0] == 403, "the refusal of everything")


def test_on_a_service_of_bytes_they_deny_every_connection_and_say_so(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    upstream, local = free_port(), ("-xds", "local")
    with echo_server() as web:
        register_pair(embedded_agent, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(embedded_agent, "web", tmp_path, *local) as web_sidecar,
            envoy_sidecar(embedded_agent, "api", tmp_path, *local) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            _permit(embedded_agent, [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}])
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal")
            web_sidecar.wait_for_output(
                "the intention of 'api' for 'web' has permissions for HTTP requests"
            )
