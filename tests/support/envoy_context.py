"""Contexts for the Envoy backend's tests: every option at its default, overridden by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connect_proxy.consul.access import AgentAccess
from connect_proxy.mesh.registration import Registration
from connect_proxy.plugin_api import ProxyContext, Source, Sourced
from connect_proxy.secret import Secret
from connect_proxy_envoy.address import Address, SocketAddress
from connect_proxy_envoy.facts import AgentGrpc, HostFacts
from connect_proxy_envoy.program import EnvoyProgram
from connect_proxy_envoy.settings import SETTINGS
from connect_proxy_envoy.version import Version
from connect_proxy_envoy.xds_source import XdsSource

ADMIN = SocketAddress(host="127.0.0.1", port=19000)
GRPC = AgentGrpc(address=SocketAddress(host="127.0.0.1", port=8502), tls=False, ca_pem="")
PROGRAM = EnvoyProgram(path="/usr/bin/envoy", version=Version(1, 40, 0))


def options(**given: Any) -> dict[str, Sourced]:
    """All options; *given* by name with underscores."""
    values = {setting.name: Sourced(setting.default, Source.DEFAULT) for setting in SETTINGS}
    for name, value in given.items():
        key = name.replace("_", "-")
        assert key in values, f"no option {key!r}"
        values[key] = Sourced(value, Source.FLAG, f"-{key}")
    return values


def registration(config: Mapping[str, Any] | None = None, **fields: Any) -> Registration:
    """Proxy ``test-proxy`` of service ``test``."""
    defaults: dict[str, Any] = {
        "id": "test-proxy",
        "name": "test-proxy",
        "destination_service_name": "test",
        "port": 21000,
        "local_service_port": 8080,
        "datacenter": "dc1",
    }
    return Registration(**(defaults | fields), config=config or {})


def facts(
    *,
    grpc: AgentGrpc | None = GRPC,
    admin: Address = ADMIN,
    program: EnvoyProgram | None = PROGRAM,
    v2: bool = False,
    access_logs: tuple[dict[str, Any], ...] = (),
) -> HostFacts:
    """A host with Envoy 1.40; ``grpc=None`` for local xDS."""
    source = XdsSource(source="local" if grpc is None else "agent", reason="the test says so")
    return HostFacts(xds=source, admin=admin, grpc=grpc, program=program, v2=v2, access_logs=access_logs)


def context(
    *,
    config: Mapping[str, Any] | None = None,
    host: HostFacts | None = None,
    token: str = "",
    given: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ProxyContext:
    """A context that passed ``gather_facts``; *given* are options, *fields* go to ProxyContext."""
    defaults: dict[str, Any] = {
        "registration": registration(config),
        "agent": AgentAccess(token=Secret(token)),
        "datacenter": "dc1",
        "options": options(**(given or {})),
        "runtime_dir": "/run/connect-proxy/test",
        "facts": (host or facts()).as_mapping(),
    }
    return ProxyContext(**(defaults | fields))
