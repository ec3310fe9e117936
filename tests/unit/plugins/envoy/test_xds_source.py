"""Who configures Envoy, and why."""

from __future__ import annotations

import pytest

from connect_proxy.errors import RefusedError
from connect_proxy_envoy.agent_self import AgentXds, read_agent_xds
from connect_proxy_envoy.version import Version
from connect_proxy_envoy.xds_source import XdsSource, choose_xds_source

ENVOY = Version(1, 40, 0)
OLD = AgentXds(consul_version=Version(1, 8, 7), debug_grpc_port=8502, supported_envoys=("1.14.5", "1.11.2"))
OFF = AgentXds(consul_version=Version(1, 18, 0), debug_grpc_port=-1)
FITS = AgentXds(consul_version=Version(2, 0, 0), plaintext_port=8502, supported_envoys=("1.40.1", "1.37.0"))
OTHER = AgentXds(consul_version=Version(1, 18, 0), plaintext_port=8502, supported_envoys=("1.33.1",))


def _choose(wanted: str, agent: AgentXds | None, *, ignore: bool = False) -> XdsSource:
    return choose_xds_source(wanted, agent, ENVOY, ignore_compatibility=ignore)


@pytest.mark.parametrize(
    ("agent", "source", "reason"),
    [
        (FITS, "agent", "serves xDS v3"),
        (OLD, "local", "1.8.7"),
        (OFF, "local", "gRPC disabled"),
        (OTHER, "local", "supports Envoy 1.33.1"),
        (None, "agent", "may not be read"),
    ],
)
def test_auto_takes_the_agent_where_it_fits_and_says_why(
    agent: AgentXds | None, source: str, reason: str
) -> None:
    chosen = _choose("auto", agent)
    assert chosen.source == source
    assert reason in chosen.reason


@pytest.mark.parametrize("agent", [FITS, OLD, OFF, OTHER, None])
def test_local_is_taken_as_given(agent: AgentXds | None) -> None:
    assert _choose("local", agent).is_local


def test_the_agent_with_an_unsupported_envoy_is_refused_with_both_versions() -> None:
    with pytest.raises(RefusedError, match=r"1\.40\.0 .* 1\.33\.1"):
        _choose("agent", OTHER)


@pytest.mark.parametrize("wanted", ["local", "auto"])
def test_an_envoy_that_would_ignore_the_identity_check_is_refused(wanted: str) -> None:
    with pytest.raises(RefusedError, match=r"1\.21\.9 is too old"):
        choose_xds_source(wanted, OLD, Version(1, 21, 9), ignore_compatibility=True)
    assert choose_xds_source(wanted, OLD, Version(1, 22), ignore_compatibility=False).is_local


def test_the_check_can_be_ignored() -> None:
    assert _choose("agent", OTHER, ignore=True).source == "agent"
    assert _choose("auto", OTHER, ignore=True).source == "agent"
    assert _choose("auto", OLD, ignore=True).is_local


def test_agent_self_of_consul_1_8_is_read() -> None:
    told = {
        "Config": {"Version": "1.8.7"},
        "DebugConfig": {"GRPCPort": 8502, "BindAddr": "127.0.0.1"},
        "xDS": {"SupportedProxies": {"envoy": ["1.14.5", "1.13.6"]}},
    }
    assert read_agent_xds(told) == AgentXds(
        consul_version=Version(1, 8, 7), debug_grpc_port=8502, supported_envoys=("1.14.5", "1.13.6")
    )


def test_agent_self_of_consul_1_18_is_read() -> None:
    told = {
        "Config": {"Version": "1.18.0"},
        "DebugConfig": {"BindAddr": "fd00::1"},
        "xDS": {"SupportedProxies": {"envoy": ["1.33.1"]}, "Ports": {"Plaintext": 8502, "TLS": -1}},
    }
    agent = read_agent_xds(told)
    assert (agent.plaintext_port, agent.tls_port, agent.ipv6) == (8502, 0, True)


def test_an_agent_that_lists_an_envoy_without_v2_serves_v3() -> None:
    agent = AgentXds(
        consul_version=Version(1, 8, 7), debug_grpc_port=8502, supported_envoys=("1.40.0", "1.36.0")
    )
    assert _choose("auto", agent).source == "agent"


@pytest.mark.parametrize("told", [{}, {"xDS": None}, {"xDS": {"Ports": 1}, "Config": {"Version": 2}}])
def test_malformed_agent_self_counts_as_not_told(told: dict[str, object]) -> None:
    assert read_agent_xds(told).is_off


@pytest.mark.parametrize("agent", [FITS, OLD, OFF, None])
def test_of_a_proxy_in_the_catalog_auto_takes_the_agent_and_says_why(agent: AgentXds | None) -> None:
    chosen = choose_xds_source("auto", agent, ENVOY, ignore_compatibility=True, from_catalog=True)
    assert chosen.source == "agent"
    assert "-node-name" in chosen.reason


def test_of_a_proxy_in_the_catalog_local_xds_is_no_way_out() -> None:
    with pytest.raises(
        RefusedError, match=r"1\.40\.0 .* 1\.33\.1; use another Envoy or -ignore"
    ) as refusal:
        choose_xds_source("auto", OTHER, ENVOY, ignore_compatibility=False, from_catalog=True)
    assert "-xds local" not in str(refusal.value)
