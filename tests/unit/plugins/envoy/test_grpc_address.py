"""Which rule decides where the agent's xDS is and whether it is TLS."""

from __future__ import annotations

import pytest

from connect_proxy.errors import ConfigurationError, ConsulError
from connect_proxy_envoy.address import PipeAddress, SocketAddress
from connect_proxy_envoy.agent_self import AgentXds
from connect_proxy_envoy.grpc_address import GrpcChoice, choose_grpc_address
from connect_proxy_envoy.version import Version

OLD = AgentXds(consul_version=Version(1, 8, 7), debug_grpc_port=8502)
NEW = AgentXds(consul_version=Version(1, 18, 0), plaintext_port=8502, tls_port=8503)
PLAIN = AgentXds(consul_version=Version(1, 18, 0), plaintext_port=9502)


def _choose(
    wanted: str = "", agent: AgentXds | None = OLD, *, http_is_tls: bool = False, ca: bool = False
) -> GrpcChoice:
    return choose_grpc_address(wanted, agent, http_is_tls=http_is_tls, grpc_ca_given=ca)


@pytest.mark.parametrize("agent", [OLD, NEW, PLAIN, None])
@pytest.mark.parametrize("http_is_tls", [False, True])
def test_an_explicit_scheme_decides(agent: AgentXds | None, http_is_tls: bool) -> None:
    assert _choose("https://a:1", agent, http_is_tls=http_is_tls).tls
    assert not _choose("HTTP://a:1", agent, http_is_tls=http_is_tls).tls


def test_an_agent_that_names_its_ports_is_taken_at_its_word_tls_first() -> None:
    assert _choose(agent=NEW).address == SocketAddress(host="localhost", port=8503)
    assert _choose(agent=NEW).tls
    assert _choose(agent=PLAIN, http_is_tls=True) == GrpcChoice(
        address=SocketAddress(host="localhost", port=9502),
        tls=False,
        rule="the agent names its xDS port 9502 (plaintext)",
    )


def test_a_given_port_without_scheme_is_tls_if_the_agent_names_it_so() -> None:
    assert _choose("127.0.0.1:8503", NEW).tls
    assert not _choose("127.0.0.1:8502", NEW, http_is_tls=True).tls


@pytest.mark.parametrize("http_is_tls", [False, True])
def test_on_an_older_agent_grpc_follows_the_http_api(http_is_tls: bool) -> None:
    assert _choose(http_is_tls=http_is_tls).tls is http_is_tls
    assert _choose("10.0.0.1:8502", http_is_tls=http_is_tls).tls is http_is_tls


def test_an_agent_on_ipv6_is_sought_there() -> None:
    agent = AgentXds(plaintext_port=8502, ipv6=True)
    assert _choose(agent=agent).address == SocketAddress(host="::1", port=8502)


def test_without_agent_self_the_conventional_port_is_taken() -> None:
    assert _choose(agent=None).address == SocketAddress(host="localhost", port=8502)


@pytest.mark.parametrize("port", [-1, 0, None])
def test_grpc_that_is_off_is_an_error(port: int | None) -> None:
    with pytest.raises(ConsulError, match="gRPC disabled"):
        _choose(agent=AgentXds(debug_grpc_port=port))


def test_a_unix_socket_is_tls_only_with_a_grpc_ca() -> None:
    assert _choose("unix:///run/grpc.sock", http_is_tls=True) == GrpcChoice(
        address=PipeAddress(path="/run/grpc.sock"), tls=False, rule="-grpc-addr is a unix socket"
    )
    assert _choose("unix:///run/grpc.sock", ca=True).tls


@pytest.mark.parametrize("wanted", ["localhost", "ftp://a:1", "::1:8502", "a:99999", "a:x", "https://a"])
def test_an_address_that_is_none_is_an_error_that_shows_it(wanted: str) -> None:
    with pytest.raises(ConfigurationError, match="grpc-addr"):
        _choose(wanted)


def test_a_missing_host_is_this_machine() -> None:
    assert _choose(":8502").address == SocketAddress(host="127.0.0.1", port=8502)
    assert _choose("http://[::1]:8502").address == SocketAddress(host="::1", port=8502)
