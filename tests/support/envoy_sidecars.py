"""Sidecars that run a real Envoy of any version under test, their admin API on a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

from connect_proxy_envoy.address import PipeAddress
from connect_proxy_envoy.admin_client import AdminClient
from support.agents import AgentUnderTest, client_environment
from support.consul_api import ConsulApi
from support.embedded_agent import connect_proxy_program
from support.mesh_ca import MeshCa
from support.processes import Program
from support.real_parts import envoy_binary

_PLAIN: Final = {"dynamic_resources": {"ads_config": {"api_type": "GRPC"}}}
STATE_OF_THE_WORLD: Final = ("--", "--config-yaml", json.dumps(_PLAIN))
"""Words that make Envoy ask for the state of the world: its own option, merged over the bootstrap."""


def envoy_sidecar(
    agent: AgentUnderTest, service: str, folder: Path, *words: str, version: str = "1.40", **env: str
) -> Program:
    """The Envoy sidecar of *service*. Not ready yet."""
    argv: list[str | Path] = [connect_proxy_program(), "envoy", "-sidecar-for", service]
    argv += [
        "-envoy-binary",
        envoy_binary(version),
        "-admin-bind",
        f"unix://{admin_socket(folder, service)}",
    ]
    environment = client_environment(CONSUL_HTTP_ADDR=agent.address, **env)
    return Program([*argv, *words], folder=folder, env=environment, name=f"envoy-{service}")


def admin_socket(folder: Path, service: str) -> str:
    return str(folder / f"{service}.admin")


def admin_of(folder: Path, service: str) -> AdminClient:
    return AdminClient(PipeAddress(path=admin_socket(folder, service)))


def statistic(folder: Path, service: str, name: str) -> int:
    """One of Envoy's counters or gauges; 0 where there is none of that name yet."""
    return admin_of(folder, service).statistics(f"^{name}$").get(name, 0)


def bootstrap_in_force(folder: Path, service: str) -> Any:
    """As Envoy itself shows it."""
    dump = ConsulApi(address=f"unix://{admin_socket(folder, service)}").get("/config_dump").json
    (found,) = (entry["bootstrap"] for entry in dump["configs"] if "bootstrap" in entry)
    return found


def wait_ready(program: Program, folder: Path, service: str) -> None:
    program.wait_for(admin_of(folder, service).is_ready, f"the Envoy of {service} is ready")


def rotate_root(agent: AgentUnderTest) -> None:
    """Give the agent a root of the test's own; a real Consul signs new leaves within half a minute."""
    roots = agent.api.get("/v1/agent/connect/ca/roots").json
    ca = MeshCa(trust_domain=roots["TrustDomain"], name="Rotated")
    key = ca.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    config = {"PrivateKey": key, "RootCert": ca.root_pem, "LeafCertTTL": "72h"}
    answer = agent.api.put("/v1/connect/ca/configuration", {"Provider": "consul", "Config": config})
    assert answer.status == 200, answer.text
