"""Calls through real Envoys while what stands behind them changes: the token, the agent itself.

``CONNECT_PROXY_OUTAGE_S`` makes the outage longer than the few seconds that every run can afford.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import pytest

from connect_proxy_envoy.address import PipeAddress
from connect_proxy_envoy.admin_client import AdminClient
from support.agents import client_environment
from support.applications import ask, echo_server
from support.embedded_agent import connect_proxy_program
from support.ports import free_port
from support.processes import Program, wait_until
from support.real_consul import RealConsul
from support.real_parts import envoy_binary, envoys_under_test
from support.repeated_calls import calling
from support.sidecars import register_pair

pytestmark = pytest.mark.integration

OUTAGE_S: Final = float(os.environ.get("CONNECT_PROXY_OUTAGE_S", "3"))


def _envoy(consul: RealConsul, service: str, folder: Path, *words: str, version: str = "1.40") -> Program:
    """The Envoy sidecar of *service* with our own xDS, its admin API on a socket."""
    argv: list[str | Path] = [connect_proxy_program(), "envoy", "-sidecar-for", service, "-xds", "local"]
    argv += ["-envoy-binary", envoy_binary(version), "-admin-bind", f"unix://{folder / service}.admin"]
    environment = client_environment(CONSUL_HTTP_ADDR=consul.address)
    return Program([*argv, *words], folder=folder, env=environment, name=f"envoy-{service}")


def _admin(folder: Path, service: str) -> AdminClient:
    return AdminClient(PipeAddress(path=f"{folder / service}.admin"))


def _wait_ready(program: Program, folder: Path, service: str) -> None:
    program.wait_for(_admin(folder, service).is_ready, f"the Envoy of {service} is ready")


def _updates(folder: Path) -> dict[str, int]:
    """How often Envoy was told something new."""
    names = ("listener_manager.lds.update_success", "cluster_manager.cds.update_success")
    admin = _admin(folder, "web")
    return {name: value for each in names for name, value in admin.statistics(each).items()}


def test_a_token_is_replaced_and_envoy_never_notices(tmp_path: Path) -> None:
    upstream = free_port()
    with RealConsul(folder=tmp_path / "consul", acl=True) as consul, echo_server() as web:
        register_pair(consul, web_port=web.port, upstream_port=upstream)
        first, second = (
            consul.api.put("/v1/acl/token", {"Policies": [{"Name": "global-management"}]}).json
            for _ in "12"
        )
        token_file = tmp_path / "token"
        token_file.write_text(first["SecretID"])
        consul.api.set_intention("api", "web", "allow")
        words = ["-token-file", str(token_file)]
        with (
            _envoy(consul, "web", tmp_path, *words) as web_sidecar,
            _envoy(consul, "api", tmp_path, *words) as api_sidecar,
        ):
            _wait_ready(web_sidecar, tmp_path, "web")
            _wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            told = _updates(tmp_path)
            with calling(upstream) as calls:
                replacement = tmp_path / "token.new"
                replacement.write_text(second["SecretID"])
                os.replace(replacement, token_file)
                for sidecar in (web_sidecar, api_sidecar):
                    sidecar.wait_for_output("a new ACL token was read")
                assert consul.api.delete(f"/v1/acl/token/{first['AccessorID']}").status == 200
                before = calls.made
                wait_until(lambda: calls.made > before + 20, "calls with the new token")
            assert calls.failed == 0
            assert _updates(tmp_path) == told
            consul.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "the refusal", deadline_s=60)
            consul.api.set_intention("api", "web", "allow")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the recovery", deadline_s=60)


def _register_without_checks(consul: RealConsul, *, web_port: int, upstream_port: int) -> None:
    """A restarted agent calls every check critical until it hears of it again; these have none."""
    upstream = {"DestinationName": "web", "LocalBindPort": upstream_port}
    for name, port, upstreams in (("web", web_port, []), ("api", 1, [upstream])):
        consul.api.register({"Name": name, "Port": port})
        proxy: dict[str, Any] = {
            "DestinationServiceName": name,
            "DestinationServiceID": name,
            "LocalServicePort": port,
            "Upstreams": upstreams,
        }
        sidecar = f"{name}-sidecar-proxy"
        consul.api.register({"Kind": "connect-proxy", "Name": sidecar, "Port": free_port(), "Proxy": proxy})


@pytest.mark.parametrize("version", envoys_under_test())
def test_no_call_fails_while_consul_is_killed_and_comes_back(tmp_path: Path, version: str) -> None:
    upstream = free_port()
    with RealConsul(folder=tmp_path / "consul", durable=True) as consul, echo_server() as web:
        _register_without_checks(consul, web_port=web.port, upstream_port=upstream)
        with (
            _envoy(consul, "web", tmp_path, version=version) as web_sidecar,
            _envoy(consul, "api", tmp_path, version=version) as api_sidecar,
        ):
            _wait_ready(web_sidecar, tmp_path, "web")
            _wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with calling(upstream) as calls:
                consul.stop()
                end = time.monotonic() + OUTAGE_S
                wait_until(lambda: time.monotonic() > end, "the outage", deadline_s=OUTAGE_S + 10)
                away = calls.made
                consul.restart()
                wait_until(lambda: calls.made > away + 20, "calls after it")
            assert away > 0
            assert calls.failed == 0
            consul.api.set_intention("api", "web", "deny")
            wait_until(lambda: ask(upstream, b"hello") == b"", "what changes is noticed", deadline_s=60)
