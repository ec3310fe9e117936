"""Where the embedded agent differs from Consul 1.8.7 on purpose."""

from __future__ import annotations

import pytest

from support.embedded_agent import EmbeddedAgent

pytestmark = pytest.mark.contract


def test_the_older_proxy_destination_is_taken(embedded_agent: EmbeddedAgent) -> None:
    """As Consul 1.2 to 1.5 took it; 1.6 and later refuse the field."""
    embedded_agent.api.register(
        {"Name": "web-proxy", "Kind": "connect-proxy", "Port": 20000, "ProxyDestination": "web"}
    )
    shown = embedded_agent.api.get("/v1/agent/service/web-proxy").json
    assert shown["Proxy"]["DestinationServiceName"] == "web"
    (entry,) = embedded_agent.api.get("/v1/health/connect/web").json
    assert entry["Service"]["ID"] == "web-proxy"


def test_a_proxy_destination_in_both_shapes_is_taken_from_the_newer(embedded_agent: EmbeddedAgent) -> None:
    embedded_agent.api.register(
        {
            "Name": "web-proxy",
            "Kind": "connect-proxy",
            "Port": 20000,
            "ProxyDestination": "old",
            "Proxy": {"DestinationServiceName": "new"},
        }
    )
    shown = embedded_agent.api.get("/v1/agent/service/web-proxy").json
    assert shown["Proxy"]["DestinationServiceName"] == "new"


def test_unix_sockets_of_upstreams_and_applications_are_taken(embedded_agent: EmbeddedAgent) -> None:
    """As Consul 1.10 takes them; 1.8 refuses the fields."""
    upstream = {
        "DestinationType": "service",
        "DestinationName": "db",
        "LocalBindSocketPath": "/run/db.sock",
        "LocalBindSocketMode": "0660",
        "MeshGateway": {},
    }
    proxy = {"LocalServiceSocketPath": "/run/web.sock", "Upstreams": [upstream]}
    embedded_agent.api.register(
        {"Name": "web", "Port": 80, "Connect": {"SidecarService": {"Proxy": proxy}}}
    )
    shown = embedded_agent.api.get("/v1/agent/service/web-sidecar-proxy").json["Proxy"]
    assert shown["LocalServiceSocketPath"] == "/run/web.sock"
    assert shown["Upstreams"] == [upstream]
