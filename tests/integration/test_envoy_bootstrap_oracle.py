"""The v2 bootstrap against an oracle: ``consul connect envoy -bootstrap`` of the real Consul 1.8.7."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from support.agents import client_environment
from support.embedded_agent import connect_proxy_program
from support.golden import CA_FILE
from support.processes import run
from support.real_consul import RealConsul
from support.real_parts import consul_binary

pytestmark = pytest.mark.integration

FLAGS: dict[str, Sequence[str]] = {
    "defaults": (),
    "token": ("-token", "11111111-2222-3333-4444-555555555555"),
    "admin": ("-admin-bind", "127.0.0.2:19001", "-admin-access-log-path", "/var/log/admin.log"),
    "grpc-plain": ("-grpc-addr", "http://127.0.0.1:9502"),
    "grpc-without-scheme": ("-grpc-addr", "127.0.0.1:9502"),
    "grpc-tls": ("-grpc-addr", "https://127.0.0.1:9502", "-ca-file", str(CA_FILE)),
    "grpc-socket": ("-grpc-addr", "unix:///var/run/grpc.sock"),
    "envoy-1.10": ("-envoy-version", "1.10.0"),
    "envoy-1.13": ("-envoy-version", "1.13.0"),
    "no-central-config": ("-no-central-config",),
}

CONFIGS: dict[str, dict[str, Any]] = {
    "prometheus": {"envoy_prometheus_bind_addr": "0.0.0.0:9102"},
    "stats-listener": {"envoy_stats_bind_addr": "127.0.0.1:9103"},
    "both-listeners": {
        "envoy_prometheus_bind_addr": "127.0.0.1:9102",
        "envoy_stats_bind_addr": "127.0.0.1:9103",
    },
    "sinks": {
        "envoy_statsd_url": "udp://127.0.0.1:9125",
        "envoy_dogstatsd_url": "unix:///run/dogstatsd.sock",
        "envoy_extra_stats_sinks_json": '{"name": "one"}, {"name": "two"}',
    },
    "flush": {"envoy_stats_flush_interval": "10s"},
    "tags": {"envoy_stats_tags": ["Canary", "env=prod", "empty="]},
    "stats-config": {"envoy_stats_config_json": '{"use_all_default_tags": false}'},
    "tracing": {"envoy_tracing_json": '{"http": {"name": "envoy.zipkin"}}'},
    "extra": {
        "envoy_extra_static_clusters_json": '{"name": "one"}, {"name": "two"}',
        "envoy_extra_static_listeners_json": '{"name": "three"}',
        "envoy_prometheus_bind_addr": "127.0.0.1:9102",
    },
    "own-self-admin": {
        "envoy_extra_static_clusters_json": '{"name": "self_admin"}',
        "envoy_prometheus_bind_addr": "127.0.0.1:9102",
    },
}


def _register(consul: RealConsul, config: dict[str, Any]) -> None:
    sidecar = {"Proxy": {"Config": config}}
    consul.api.register({"Name": "web", "Port": 8080, "Connect": {"SidecarService": sidecar}})


def _both(consul: RealConsul, words: Sequence[str]) -> tuple[Any, Any]:
    """What Consul prints, and what we do."""
    environment = client_environment(CONSUL_HTTP_ADDR=consul.address)
    asked = ["-sidecar-for", "web", "-bootstrap", *words]
    theirs = run([consul_binary(), "connect", "envoy", *asked], env=environment)
    assert theirs.returncode == 0, theirs.stderr
    ours = run([connect_proxy_program(), "envoy", *asked], env=environment)
    assert ours.returncode == 0, ours.stderr
    return json.loads(theirs.stdout), json.loads(ours.stdout)


@pytest.mark.parametrize("case", FLAGS)
def test_the_flags_mean_what_they_mean_to_consul(real_consul: RealConsul, case: str) -> None:
    _register(real_consul, {})
    theirs, ours = _both(real_consul, FLAGS[case])
    assert ours == theirs


@pytest.mark.parametrize("case", CONFIGS)
def test_the_registrations_config_means_what_it_means_to_consul(real_consul: RealConsul, case: str) -> None:
    _register(real_consul, CONFIGS[case])
    theirs, ours = _both(real_consul, ())
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_the_proxys_id_may_be_given_instead(real_consul: RealConsul) -> None:
    _register(real_consul, {})
    environment = client_environment(
        CONSUL_HTTP_ADDR=real_consul.address, CONNECT_PROXY_ID="web-sidecar-proxy"
    )
    theirs = run([consul_binary(), "connect", "envoy", "-bootstrap"], env=environment)
    ours = run([connect_proxy_program(), "envoy", "-bootstrap"], env=environment)
    assert json.loads(ours.stdout) == json.loads(theirs.stdout)
