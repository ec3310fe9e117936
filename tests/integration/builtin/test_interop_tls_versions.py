"""The built-in proxy with Consul's own and with Envoy, as caller and as callee, in TLS 1.2 and in 1.3.

What was negotiated is what both sides say of it: our counters, and Envoy's ``ssl.versions``. Consul's
proxy says nothing and cannot be told, so there the range of ours decides.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.envoy_peer import Route, configuration, tls_context
from soak.mesh import CHECK, Side
from support.applications import ask, echo_server
from support.embedded_agent import EmbeddedAgent
from support.mesh_ca import Identity
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_parts import envoy_binary
from support.sidecars import CONSUL, start_sidecar, wait_ready

pytestmark = pytest.mark.integration

ENVOY = "envoy"
OURS_IS = ["caller", "callee"]
VERSIONS = ["TLSv1.2", "TLSv1.3"]
CALLS = 3
SERVICE_OF = {"caller": "api", "callee": "web"}
OTHER = {"api": "web", "web": "api"}


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where everything is."""

    application: int
    upstream: int = field(default_factory=free_port)
    public: int = field(default_factory=free_port)
    status: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)


def register(agent: EmbeddedAgent, ports: Ports, ours: str, *, version: str = "") -> None:
    """``api`` calls ``web``; *ours* speaks *version* only, where one is given."""
    config: dict[str, Any] = {"status_address": f"127.0.0.1:{ports.status}"}
    if version:
        pinned = version.replace(".", "_")
        config |= {"tls_min_version": pinned, "tls_max_version": pinned}
    upstream = {"DestinationName": "web", "LocalBindPort": ports.upstream}
    proxies: dict[str, dict[str, Any]] = {"web": {}, "api": {"Upstreams": [upstream]}}
    proxies[ours]["Config"] = config
    sidecars: dict[str, dict[str, Any]] = {
        name: {"Check": CHECK, "Proxy": proxy} for name, proxy in proxies.items()
    }
    sidecars["web"]["Port"] = ports.public
    for name, port in (("web", ports.application), ("api", 1)):
        agent.api.register({"Name": name, "Port": port, "Connect": {"SidecarService": sidecars[name]}})


def identity(agent: EmbeddedAgent, service: str) -> tuple[Identity, str]:
    """The service's own leaf, and the roots."""
    leaf = agent.api.get(f"/v1/agent/connect/ca/leaf/{service}").json
    roots = agent.api.get("/v1/agent/connect/ca/roots").json["Roots"]
    shown = Identity(
        uri=leaf["ServiceURI"],
        serial=leaf["SerialNumber"],
        certificate_pem=leaf["CertPEM"],
        private_key_pem=leaf["PrivateKeyPEM"],
        valid_after=leaf["ValidAfter"],
        valid_before=leaf["ValidBefore"],
    )
    return shown, "".join(root["RootCert"] for root in roots)


def envoy_configuration(agent: EmbeddedAgent, ports: Ports, service: str, version: str) -> dict[str, Any]:
    """Envoy in front of the application (``web``) or behind the caller (``api``)."""
    shown, roots = identity(agent, service)
    other, _ = identity(agent, OTHER[service])
    tls = tls_context(shown, roots)
    # Without a word, Envoy speaks no TLS 1.3 as a client.
    low, high = (each.replace(".", "_") for each in ([version] * 2 if version else VERSIONS))
    tls["tls_params"] = {"tls_minimum_protocol_version": low, "tls_maximum_protocol_version": high}
    listens, leads_to = (ports.public, ports.application), (ports.upstream, ports.public)
    port, target = listens if service == "web" else leads_to
    route = Route(name="web", port=port, target=target, peer_uri=other.uri)
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ports.admin}}}
    return {"admin": admin, **configuration([route], tls=tls, terminates=service == "web")}


def start_envoy(agent: EmbeddedAgent, ports: Ports, service: str, *, folder: Path, version: str) -> Program:
    path = folder / "envoy.json"
    path.write_text(json.dumps(envoy_configuration(agent, ports, service, version)))
    argv: list[str | Path] = [envoy_binary(), "--config-path", path, "--concurrency", "1"]
    return Program([*argv, "--disable-hot-restart", "--log-level", "warning"], folder=folder, name=ENVOY)


@contextlib.contextmanager
def calling(
    agent: EmbeddedAgent, folder: Path, *, peer: str, ours_is: str, peers_version: str = ""
) -> Iterator[tuple[Ports, Side]]:
    """A way through between *peer* and ours; our side."""
    ours = SERVICE_OF[ours_is]
    theirs = OTHER[ours]
    with echo_server() as application, contextlib.ExitStack() as stack:
        ports = Ports(application=application.port)
        register(agent, ports, ours)
        own = stack.enter_context(start_sidecar("builtin", agent, ours, folder=folder))
        if peer == CONSUL:
            stack.enter_context(start_sidecar(CONSUL, agent, theirs, folder=folder))
        else:
            program = start_envoy(agent, ports, theirs, folder=folder, version=peers_version)
            stack.enter_context(program)
        wait_ready(own, "builtin")
        wait_until(lambda: reaches(ports), "a way through")
        yield ports, Side(name=ours, program=own, status_port=ports.status)


def reaches(ports: Ports) -> bool:
    with contextlib.suppress(OSError):
        return ask(ports.upstream, b"hello") == b"hello"
    return False


def by_version(side: Side) -> dict[str, int]:
    """Our handshakes so far."""
    direction = "outbound" if side.name == "api" else "inbound"
    return {version: side.count(f"{direction}_tls_versions.{version}") for version in VERSIONS}


def envoys_by_version(ports: Ports) -> dict[str, int]:
    """Envoy's handshakes so far."""
    connection = http.client.HTTPConnection("127.0.0.1", ports.admin, timeout=20)
    try:
        connection.request("GET", "/stats?filter=ssl.versions")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = dict(re.findall(r"ssl\.versions\.(TLSv1\.\d): (\d+)", text))
    return {version: int(found.get(version, 0)) for version in VERSIONS}


def assert_calls_speak(version: str, ports: Ports, side: Side, *, peer: str) -> None:
    """Each call is one handshake of this version, and none of another."""
    counted = [by_version(side), envoys_by_version(ports) if peer == ENVOY else {}]
    assert [ask(ports.upstream, b"hello") for _ in range(CALLS)] == [b"hello"] * CALLS
    counts = [by_version(side), envoys_by_version(ports) if peer == ENVOY else {}]
    grown = [
        {name: after[name] - count for name, count in before.items() if after[name] != count}
        for before, after in zip(counted, counts, strict=True)
    ]
    assert grown == [{version: CALLS}, {version: CALLS} if peer == ENVOY else {}]


@pytest.mark.parametrize("ours_is", OURS_IS)
@pytest.mark.parametrize("peer", [CONSUL, ENVOY])
def test_the_version_that_ours_is_limited_to_is_spoken_from_then_on(
    embedded_agent: EmbeddedAgent, tmp_path: Path, peer: str, ours_is: str
) -> None:
    with calling(embedded_agent, tmp_path, peer=peer, ours_is=ours_is) as (ports, side):
        for version in VERSIONS:
            register(embedded_agent, ports, side.name, version=version)
            before = by_version(side)

            def is_in_force(version: str = version, before: dict[str, int] = before) -> bool:
                assert reaches(ports)
                return by_version(side)[version] > before[version]

            # TLS 1.3 was spoken before too: limited to 1.2 in between, it shows that this one is new.
            wait_until(is_in_force, f"{version} is spoken")
            assert_calls_speak(version, ports, side, peer=peer)


@pytest.mark.parametrize("ours_is", OURS_IS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_that_envoy_is_limited_to_is_spoken(
    embedded_agent: EmbeddedAgent, tmp_path: Path, version: str, ours_is: str
) -> None:
    with calling(embedded_agent, tmp_path, peer=ENVOY, ours_is=ours_is, peers_version=version) as (
        ports,
        side,
    ):
        assert_calls_speak(version, ports, side, peer=ENVOY)
