"""The v2 bootstrap against an oracle: ``consul connect envoy -bootstrap`` of the real Consul 1.8.7."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.agents import AgentUnderTest, client_environment
from support.embedded_agent import EmbeddedAgent, connect_proxy_program
from support.envoy_programs import recorded, recording_envoy
from support.golden import CA_FILE
from support.ports import free_port
from support.processes import Program, run
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


def _register(consul: AgentUnderTest, config: dict[str, Any]) -> None:
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


def test_consuls_own_command_starts_from_the_embedded_agent_as_from_a_real_one(
    embedded_agent: EmbeddedAgent, real_consul: RealConsul
) -> None:
    shown = []
    for agent in (embedded_agent, real_consul):
        _register(agent, {"envoy_prometheus_bind_addr": "127.0.0.1:9102"})
        environment = client_environment(CONSUL_HTTP_ADDR=agent.address)
        asked = ["-sidecar-for", "web", "-bootstrap"]
        theirs = run([consul_binary(), "connect", "envoy", *asked], env=environment)
        assert theirs.returncode == 0, theirs.stderr
        # The Envoy that this Consul takes for granted; ours takes the newest that the agent lists.
        old = ["-envoy-api", "v2", "-envoy-version", "1.14.5"]
        ours = run([connect_proxy_program(), "envoy", *asked, *old], env=environment)
        assert json.loads(ours.stdout) == json.loads(theirs.stdout)
        port = agent.grpc_address.rpartition(":")[2]
        assert f'"port_value": {port}' in theirs.stdout
        shown.append(theirs.stdout.replace(f'"port_value": {port}', '"port_value": 8502'))
    assert shown[0] == shown[1]


GATEWAYS: dict[str, Sequence[str]] = {
    "defaults": (),
    "loopback": ("-address", "127.0.0.1:9443", "-wan-address", "127.0.0.1:9444"),
    "address-only": ("-address", "127.0.0.1:9443", "-wan-address", ":9444"),
    "bound-elsewhere": ("-address", "10.9.8.7:9443", "-bind-address", "a=127.0.0.1:9445"),
    "named": ("-service", "edge", "-deregister-after-critical", "2h", "-address", ":9443"),
}


def _gateway_state(consul: RealConsul, gateway_id: str) -> tuple[Any, Any]:
    """What the agent knows of the gateway and of its check."""
    service = consul.api.get(f"/v1/agent/service/{gateway_id}").json
    checks = consul.api.get("/v1/agent/checks").json
    (check,) = (each for each in checks.values() if each["ServiceID"] == gateway_id)
    return service, {key: check[key] for key in ("Name", "Type", "ServiceName", "CheckID")}


IPV6 = {"ipv6": ("-address", "[::1]:9443", "-wan-address", "[::1]:9444")}
TEMPLATES = {
    "template": (
        "-address",
        '{{ GetAllInterfaces | include "name" "^lo" | include "type" "ipv4" | attr "address" }}:9443',
        "-wan-address",
        '{{ GetAllInterfaces | include "flags" "loopback|up" | sort "type,size" | limit 1 | '
        'join "address" "" }}:9444',
    ),
    "template-of-a-binding": (
        "-bind-address",
        'a={{ GetAllInterfaces | exclude "rfc" "1918" | include "network" "127.0.0.0/8" '
        '| attr "address" }}:9443',
    ),
}
GATEWAY_CASES = [
    *((kind, case) for kind in ("mesh", "terminating", "ingress") for case in GATEWAYS),
    *(("mesh", case) for case in IPV6 | TEMPLATES),
]


# An ingress gateway on IPv6 is more than this Consul can do: it writes "127.0.0.1::1".
@pytest.mark.parametrize(("kind", "case"), GATEWAY_CASES)
def test_a_gateway_is_registered_and_started_as_consul_does(
    real_consul: RealConsul, kind: str, case: str
) -> None:
    environment = client_environment(CONSUL_HTTP_ADDR=real_consul.address)
    words = ["-gateway", kind, *(GATEWAYS | IPV6 | TEMPLATES)[case]]
    if "-address" not in words:
        words += ["-address", ":8443"]  # what newer Consuls take; 1.8 still had 443
    if "-wan-address" not in words:
        words += ["-wan-address", ":8443"]
    gateway_id = "edge" if case == "named" else f"{kind}-gateway"
    seen = []
    programs: list[list[str | Path]]
    programs = [[consul_binary(), "connect", "envoy"], [connect_proxy_program(), "envoy"]]
    for program in programs:
        done = run([*program, *words, "-register", "-bootstrap"], env=environment)
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout[done.stdout.index("{") :])
        seen.append((shown, *_gateway_state(real_consul, gateway_id)))
        found = run([*program, *words, "-bootstrap"], env=environment)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout) == shown, "the registered one is found by its kind"
        real_consul.api.deregister(gateway_id)
    theirs, ours = seen
    assert ours == theirs


def test_a_gateways_envoy_is_started_with_the_bootstrap_that_consul_prints(
    real_consul: RealConsul, tmp_path: Path
) -> None:
    """Of its time: no Envoy of today speaks this Consul's xDS."""
    environment = client_environment(CONSUL_HTTP_ADDR=real_consul.address)
    words = ["-gateway", "mesh", "-address", "127.0.0.1:9443", "-wan-address", "127.0.0.1:9444"]
    words += ["-admin-bind", f"127.0.0.1:{free_port()}"]
    started: list[str | Path] = [connect_proxy_program(), "envoy", *words, "-register"]
    started += ["-envoy-binary", recording_envoy(tmp_path, "1.14.5")]
    with Program(started, folder=tmp_path, env=environment) as program:
        assert program.wait() == 7, "Envoy's own exit code"
    theirs = run([consul_binary(), "connect", "envoy", *words, "-bootstrap"], env=environment)
    assert theirs.returncode == 0, theirs.stderr
    assert json.loads(recorded(tmp_path)["read"]["--config-path"]) == json.loads(theirs.stdout)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-gateway", "egress"], "-gateway 'egress' is none"),
        (["-gateway", "mesh", "-mesh-gateway"], "-mesh-gateway is the old spelling"),
        (["-gateway", "mesh", "-expose-servers"], "-expose-servers is for a mesh gateway"),
        (["-sidecar-for", "web", "-register"], "-register is for gateways"),
        (["-gateway", "mesh", "-register", "-address", "10.9.8.7:1"], "no address of this host"),
        (["-gateway", "mesh", "-register", "-bind-address", "1.2.3.4:5"], "lacks a name"),
        (
            ["-gateway", "mesh", "-register", "-address", "{{ GetTeapot }}:1"],
            "supported are GetAllInterfaces",
        ),
        (
            ["-gateway", "mesh", "-register", "-address", '{{ GetInterfaceIP "none" }}:1'],
            "finds no address on this host",
        ),
    ],
)
def test_contradicting_words_about_gateways_are_refused(
    real_consul: RealConsul, words: list[str], complaint: str
) -> None:
    _register(real_consul, {})
    environment = client_environment(CONSUL_HTTP_ADDR=real_consul.address)
    done = run([connect_proxy_program(), "envoy", "-bootstrap", *words], env=environment)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_gateway_that_is_not_there_or_not_the_only_one_is_told(real_consul: RealConsul) -> None:
    environment = client_environment(CONSUL_HTTP_ADDR=real_consul.address)
    argv: list[str | Path] = [connect_proxy_program(), "envoy", "-bootstrap", "-mesh-gateway"]
    done = run(argv, env=environment)
    assert done.returncode == 1
    assert "no service of kind 'mesh-gateway' is registered" in done.stderr
    for name in ("one", "two"):
        real_consul.api.register({"Kind": "mesh-gateway", "Name": name, "Port": 8443})
    done = run(argv, env=environment)
    assert done.returncode == 1
    assert "'one', 'two'; say which with -proxy-id" in done.stderr
    done = run([*argv, "-proxy-id", "two"], env=environment)
    assert json.loads(done.stdout)["node"]["id"] == "two"
