"""Calls through real Envoys while what stands behind them changes: the token, the agent itself.

``CONNECT_PROXY_OUTAGE_S`` makes the outage longer than the few seconds that every run can afford.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any, Final

import pytest

from support.applications import ask, echo_server, ended
from support.envoy_sidecars import admin_of, envoy_sidecar, wait_ready
from support.ports import free_port
from support.processes import wait_until
from support.real_consul import RealConsul
from support.real_parts import envoys_under_test
from support.repeated_calls import calling
from support.sidecars import register_pair

pytestmark = pytest.mark.integration

OUTAGE_S: Final = float(os.environ.get("CONNECT_PROXY_OUTAGE_S", "3"))


def _updates(folder: Path) -> dict[str, int]:
    """How often Envoy was told something new."""
    names = ("listener_manager.lds.update_success", "cluster_manager.cds.update_success")
    admin = admin_of(folder, "web")
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
        words = ["-xds", "local", "-token-file", str(token_file)]
        with (
            envoy_sidecar(consul, "web", tmp_path, *words) as web_sidecar,
            envoy_sidecar(consul, "api", tmp_path, *words) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
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


@pytest.mark.parametrize("version", envoys_under_test())
def test_an_open_connection_of_a_denied_caller_ends_with_envoys_drain_time(
    real_consul: RealConsul, tmp_path: Path, version: str
) -> None:
    """Rules are for new connections; changed ones replace the chain, and Envoy drains the old one."""
    upstream, words = free_port(), ("-xds", "local", "--", "--drain-time-s", "2")
    with echo_server() as web:
        register_pair(real_consul, web_port=web.port, upstream_port=upstream)
        with (
            envoy_sidecar(real_consul, "web", tmp_path, *words, version=version) as web_sidecar,
            envoy_sidecar(real_consul, "api", tmp_path, *words, version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
            wait_until(lambda: ask(upstream, b"hello") == b"hello", "the first call")
            with socket.create_connection(("127.0.0.1", upstream), timeout=60) as held:
                held.sendall(b"one")
                assert held.recv(3) == b"one"
                real_consul.api.set_intention("api", "web", "deny")
                assert ended(held)


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
            envoy_sidecar(consul, "web", tmp_path, "-xds", "local", version=version) as web_sidecar,
            envoy_sidecar(consul, "api", tmp_path, "-xds", "local", version=version) as api_sidecar,
        ):
            wait_ready(web_sidecar, tmp_path, "web")
            wait_ready(api_sidecar, tmp_path, "api")
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
