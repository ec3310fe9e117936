"""Envoy as a static mutual-TLS TCP proxy, one worker a side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.applications import Application
from bench.peer import CLIENT, RunningPeer, wait_until_carrying
from support.mesh_ca import Identity, MeshCa
from support.ports import free_port
from support.processes import Program
from support.real_parts import envoy_binary

VERSION = "1.40"
CONNECT_TIMEOUT = "5s"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A listening port, where it leads, and who has to be on the other side of its TLS."""

    name: str
    port: int
    target: int
    peer_uri: str


@dataclass(frozen=True, kw_only=True)
class EnvoyPeer:
    """Each side proves its identity and checks that of the other; nothing else is configured."""

    applications: Mapping[Application, int]
    name: str = "envoy"
    version: str = f"Envoy {VERSION}, static `tcp_proxy`, `--concurrency 1`"
    authority: MeshCa = field(default_factory=MeshCa)

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[RunningPeer]:
        """One Envoy for each application and one for the client."""
        outer = {application: free_port() for application in self.applications}
        inner = {application: free_port() for application in self.applications}
        configurations = {
            application.value: configuration(
                [self._server_route(application, inner[application])],
                tls=self._tls(application.value),
                terminates=True,
            )
            for application in self.applications
        }
        configurations[CLIENT] = configuration(
            [
                Route(
                    name=application.value,
                    port=outer[application],
                    target=inner[application],
                    peer_uri=self.authority.uri(application.value),
                )
                for application in self.applications
            ],
            tls=self._tls(CLIENT),
            terminates=False,
        )
        with contextlib.ExitStack() as stack:
            programs = {
                service: stack.enter_context(_started(folder, service, text))
                for service, text in configurations.items()
            }
            wait_until_carrying(outer)
            yield RunningPeer(ports=outer, programs=programs)

    def _server_route(self, application: Application, port: int) -> Route:
        return Route(
            name=application.value,
            port=port,
            target=self.applications[application],
            peer_uri=self.authority.uri(CLIENT),
        )

    def _tls(self, service: str) -> dict[str, Any]:
        return tls_context(self.authority.leaf(service), self.authority.root_pem)


def _started(folder: Path, service: str, text: dict[str, Any]) -> Program:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"envoy-{service}.json"
    path.write_text(json.dumps(text))
    argv: list[str | Path] = [envoy_binary(VERSION), "--config-path", path, "--concurrency", "1"]
    argv += ["--disable-hot-restart", "--log-level", "warning"]
    return Program(argv, folder=folder, name=f"envoy-{service}")


def tls_context(identity: Identity, roots_pem: str) -> dict[str, Any]:
    """A ``CommonTlsContext`` that shows *identity* and trusts *roots_pem*."""
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": identity.certificate_pem},
                "private_key": {"inline_string": identity.private_key_pem},
            }
        ],
        "validation_context": {"trusted_ca": {"inline_string": roots_pem}},
    }


def configuration(routes: list[Route], *, tls: dict[str, Any], terminates: bool) -> dict[str, Any]:
    """A static bootstrap. *terminates*: TLS on the listeners, else towards the clusters."""
    return {
        "static_resources": {
            "listeners": [_listener(route, tls if terminates else None) for route in routes],
            "clusters": [_cluster(route, None if terminates else tls) for route in routes],
        }
    }


def _listener(route: Route, tls: dict[str, Any] | None) -> dict[str, Any]:
    proxy = {"@type": TCP_PROXY, "stat_prefix": route.name, "cluster": route.name}
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]
    }
    if tls is not None:
        chain["transport_socket"] = _transport_socket(
            {
                "@type": f"{TLS}.DownstreamTlsContext",
                "require_client_certificate": True,
                "common_tls_context": _checking(tls, route.peer_uri),
            }
        )
    return {"name": route.name, "address": _address(route.port), "filter_chains": [chain]}


def _cluster(route: Route, tls: dict[str, Any] | None) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(route.target)}}
    cluster: dict[str, Any] = {
        "name": route.name,
        "type": "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "load_assignment": {"cluster_name": route.name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if tls is not None:
        cluster["transport_socket"] = _transport_socket(
            {
                "@type": f"{TLS}.UpstreamTlsContext",
                "common_tls_context": _checking(tls, route.peer_uri),
            }
        )
    return cluster


def _checking(tls: dict[str, Any], uri: str) -> dict[str, Any]:
    matcher = {"san_type": "URI", "matcher": {"exact": uri}}
    validation = {**tls["validation_context"], "match_typed_subject_alt_names": [matcher]}
    return {**tls, "validation_context": validation}


def _transport_socket(typed_config: dict[str, Any]) -> dict[str, Any]:
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed_config}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
