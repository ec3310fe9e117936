"""Where the agent's xDS is and whether it is TLS: which rule decides. Pure.

An explicit scheme decides. Else an agent that names its xDS ports (Consul 1.14 and newer) is taken
at its word, TLS before plaintext. Else gRPC follows the HTTP API, as Consul up to 1.14 did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connect_proxy.errors import ConsulError
from connect_proxy_envoy.address import UNIX, PipeAddress, SocketAddress, parse_host_port
from connect_proxy_envoy.agent_self import AgentXds

DEFAULT_PORT: Final = 8502
WHAT: Final = "the agent's gRPC address (-grpc-addr)"


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcChoice:
    """The agent's xDS, before its host name is resolved."""

    address: SocketAddress | PipeAddress
    tls: bool
    rule: str
    """Which rule decided, as one phrase for the log."""


def choose_grpc_address(
    wanted: str, agent: AgentXds | None, *, http_is_tls: bool, grpc_ca_given: bool
) -> GrpcChoice:
    """The agent's xDS address for *wanted* (``-grpc-addr``, may be empty).

    *agent* is None where the token may not read agent/self. Raises ConfigurationError for an
    address that is none, ConsulError where the agent says that its gRPC is off.
    """
    if wanted:
        return _given(wanted, agent, http_is_tls=http_is_tls, grpc_ca_given=grpc_ca_given)
    if agent is None:
        return GrpcChoice(
            address=SocketAddress(host="localhost", port=DEFAULT_PORT),
            tls=http_is_tls,
            rule=f"agent/self may not be read with this token, so the conventional port {DEFAULT_PORT}",
        )
    host = "::1" if agent.ipv6 else "localhost"
    if agent.names_ports:
        tls = agent.tls_port > 0
        port = agent.tls_port or agent.plaintext_port
        rule = f"the agent names its xDS port {port} ({'TLS' if tls else 'plaintext'})"
        return GrpcChoice(address=SocketAddress(host=host, port=port), tls=tls, rule=rule)
    if agent.is_off:
        message = (
            "the agent has gRPC disabled, so it serves no xDS; set ports.grpc (8502) in its "
            "configuration, or let connect-proxy configure Envoy itself with -xds local"
        )
        raise ConsulError(message)
    assert agent.debug_grpc_port is not None
    return GrpcChoice(
        address=SocketAddress(host=host, port=agent.debug_grpc_port),
        tls=http_is_tls,
        rule=f"the agent's gRPC port is {agent.debug_grpc_port} and {_followed(http_is_tls)}",
    )


def _given(wanted: str, agent: AgentXds | None, *, http_is_tls: bool, grpc_ca_given: bool) -> GrpcChoice:
    """``-grpc-addr`` or CONSUL_GRPC_ADDR."""
    if wanted.lower().startswith(UNIX):
        rule = (
            "a gRPC CA is given, so TLS over the socket" if grpc_ca_given else "-grpc-addr is a unix socket"
        )
        return GrpcChoice(address=PipeAddress(path=wanted[len(UNIX) :]), tls=grpc_ca_given, rule=rule)
    scheme, separator, rest = wanted.partition("://")
    if separator and scheme.lower() in {"http", "https"}:
        tls = scheme.lower() == "https"
        rule = f"-grpc-addr says {scheme.lower()}"
        return GrpcChoice(address=parse_host_port(rest.rstrip("/"), what=WHAT), tls=tls, rule=rule)
    address = parse_host_port(wanted, what=WHAT)
    if agent is not None and agent.names_ports:
        tls = address.port == agent.tls_port
        rule = f"the agent {'names' if tls else 'does not name'} port {address.port} as its TLS port"
        return GrpcChoice(address=address, tls=tls, rule=rule)
    return GrpcChoice(address=address, tls=http_is_tls, rule=_followed(http_is_tls))


def _followed(http_is_tls: bool) -> str:
    return f"gRPC follows the HTTP API ({'https' if http_is_tls else 'http'})"
