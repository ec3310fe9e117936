"""The proxies that are measured, each as a pair of sidecars between a load tool and an application."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.ports import free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul
from support.real_parts import consul_binary, envoy_binary

APPLICATIONS = ("iperf", "http")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Running sidecars: where each application is reached, and their processes."""

    ports: dict[str, int]
    pids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What all pairs share."""

    consul: RealConsul
    applications: dict[str, int]
    """Port by name."""
    folder: Path


def go(scene: Scene) -> contextlib.AbstractContextManager[Pair]:
    """Consul's own proxy."""

    def command(service: str) -> list[str]:
        address = f"-http-addr={scene.consul.address}"
        return [str(consul_binary()), "connect", "proxy", address, "-sidecar-for", service]

    return registered_pair(scene, "go", command)


def builtin(scene: Scene) -> contextlib.AbstractContextManager[Pair]:
    """Ours. ``BENCH_BUILTIN`` is another command line, with ``{port}`` and ``{service}``."""
    words = os.environ.get("BENCH_BUILTIN") or (
        f"{sys.executable} -m connect_proxy --backend builtin"
        " -http-addr 127.0.0.1:{port} -sidecar-for {service}"
    )

    def command(service: str) -> list[str]:
        return shlex.split(words.format(port=scene.consul.http_port, service=service))

    return registered_pair(scene, "builtin", command)


@contextlib.contextmanager
def registered_pair(scene: Scene, name: str, command: Callable[[str], list[str]]) -> Iterator[Pair]:
    """Register, start one sidecar for each application and one for the caller, wait for a way through."""
    api = scene.consul.api
    ports = {application: free_port() for application in APPLICATIONS}
    upstreams = [
        {"DestinationName": f"{name}-{application}", "LocalBindPort": port}
        for application, port in ports.items()
    ]
    services = {f"{name}-{application}": scene.applications[application] for application in APPLICATIONS}
    checks = [{"Name": "always", "TTL": "1h", "Status": "passing"}]
    for service, port in services.items():
        sidecar = {"Checks": checks}
        api.put(
            "/v1/agent/service/register",
            {"Name": service, "Port": port, "Connect": {"SidecarService": sidecar}},
        )
    caller = {"Checks": checks, "Proxy": {"Upstreams": upstreams}}
    api.put(
        "/v1/agent/service/register",
        {"Name": f"{name}-client", "Port": 9, "Connect": {"SidecarService": caller}},
    )
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(Program(command(service), folder=scene.folder, name=service))
            for service in (*services, f"{name}-client")
        ]
        wait_until(lambda: all(reaches(port) for port in ports.values()), f"a way through {name}")
        yield Pair(ports=ports, pids=tuple(program.pid for program in programs))


def reaches(port: int) -> bool:
    """Whether a connection to *port* stays open: the whole chain stands."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            sock.settimeout(0.5)
            return bool(sock.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def envoy(scene: Scene) -> Iterator[Pair]:
    """A static mutual-TLS tcp_proxy on each side, one worker each, without authorisation."""
    leaf = scene.consul.api.get("/v1/agent/connect/ca/leaf/envoy").json
    roots = scene.consul.api.get("/v1/agent/connect/ca/roots").json
    tls = {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": leaf["CertPEM"]},
                "private_key": {"inline_string": leaf["PrivateKeyPEM"]},
            }
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": "".join(root["RootCert"] for root in roots["Roots"])}
        },
    }
    ports = {application: free_port() for application in APPLICATIONS}
    middle = {application: free_port() for application in APPLICATIONS}
    server = [
        (application, middle[application], scene.applications[application]) for application in APPLICATIONS
    ]
    client = [(application, ports[application], middle[application]) for application in APPLICATIONS]
    with contextlib.ExitStack() as stack:
        programs = []
        for side, listeners in (("server", server), ("client", client)):
            path = scene.folder / f"envoy-{side}.json"
            path.write_text(json.dumps(envoy_configuration(side, listeners, tls)))
            argv: list[str | Path] = [
                envoy_binary("1.40"),
                "-c",
                path,
                "--concurrency",
                "1",
                "--disable-hot-restart",
            ]
            argv += ["-l", "warning"]
            programs.append(stack.enter_context(Program(argv, folder=scene.folder, name=f"envoy-{side}")))
        wait_until(lambda: all(reaches(port) for port in ports.values()), "a way through envoy")
        yield Pair(ports=ports, pids=tuple(program.pid for program in programs))


def envoy_configuration(side: str, listeners: list[tuple[str, int, int]], tls: Any) -> dict[str, Any]:
    """Listeners of (name, port, port to go to); TLS on the listener or towards the cluster."""
    downstream = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    upstream = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    inner: dict[str, Any] = {
        "name": "tls",
        "typed_config": {"@type": downstream, "common_tls_context": tls},
    }
    inner["typed_config"]["require_client_certificate"] = True
    outer = {"name": "tls", "typed_config": {"@type": upstream, "common_tls_context": tls}}
    proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

    def listener(name: str, port: int) -> dict[str, Any]:
        typed = {"@type": proxy, "stat_prefix": name, "cluster": name}
        chain: dict[str, Any] = {
            "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": typed}]
        }
        if side == "server":
            chain["transport_socket"] = inner
        return {"name": name, "address": socket_address(port), "filter_chains": [chain]}

    def cluster(name: str, port: int) -> dict[str, Any]:
        endpoint = {"endpoint": {"address": socket_address(port)}}
        found: dict[str, Any] = {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        if side == "client":
            found["transport_socket"] = outer
        return found

    return {
        "static_resources": {
            "listeners": [listener(name, port) for name, port, _ in listeners],
            "clusters": [cluster(name, to) for name, _, to in listeners],
        }
    }


def socket_address(port: int) -> dict[str, Any]:
    """Envoy's way to write loopback and a port."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


CONTENDERS: dict[str, Callable[[Scene], contextlib.AbstractContextManager[Pair]]] = {
    "go": go,
    "envoy": envoy,
    "builtin": builtin,
}
