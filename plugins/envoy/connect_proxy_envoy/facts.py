"""What is looked up on this host before the bootstrap can be rendered: the only I/O before the start."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.errors import ConfigurationError, MissingProgramError, UsageError
from connect_proxy.mesh.registration import CONNECT_PROXY
from connect_proxy.plugin_api import ProxyContext, Source
from connect_proxy_envoy.access_log import read_access_logs
from connect_proxy_envoy.address import Address, PipeAddress, SocketAddress, resolved
from connect_proxy_envoy.admin_address import check_free, choose_admin_address
from connect_proxy_envoy.agent_self import V3_ONLY, AgentXds, read_agent_xds
from connect_proxy_envoy.ca_bundle import read_ca_bundle
from connect_proxy_envoy.grpc_address import WHAT, GrpcChoice, choose_grpc_address
from connect_proxy_envoy.hot_restart import asks_for_hot_restart
from connect_proxy_envoy.program import EnvoyProgram, ask_version, find_program
from connect_proxy_envoy.settings import API_AUTO, API_V2, XDS_AGENT, XDS_LOCAL
from connect_proxy_envoy.xds_source import XdsSource, choose_xds_source

log = logging.getLogger("connect_proxy.envoy")

MANAGED_ADMIN_BIND: Final = "localhost:0"
"""The default of Consul, localhost:19000, is for one Envoy on a host; an agent starts several."""

DIAL_TIMEOUT_S: Final = 3.0
NEWEST_V2: Final = "1.14.5"
"""What Consul 1.8.7 takes for granted."""
_KEY: Final = "envoy"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentGrpc:
    """The agent's xDS as Envoy is to reach it."""

    address: Address
    tls: bool
    ca_pem: str
    """Empty unless ``tls``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """Everything the pure hooks need beyond the context."""

    xds: XdsSource
    admin: Address
    grpc: AgentGrpc | None
    """None with local xDS."""
    program: EnvoyProgram | None
    """None where the bootstrap is only printed."""
    v2: bool = False
    """The bootstrap is for an agent and an Envoy of before v3."""
    newest_supported: str = NEWEST_V2
    """The newest Envoy that the agent lists."""
    access_logs: tuple[dict[str, Any], ...] = ()
    """``admin.access_log`` as ``proxy-defaults`` sets it; empty: not set."""

    def as_mapping(self) -> Mapping[str, Any]:
        """For ``ProxyContext.facts``."""
        return {_KEY: self}


def facts_of(context: ProxyContext) -> HostFacts:
    """What :func:`gather` found for this context."""
    facts = context.facts[_KEY]
    assert isinstance(facts, HostFacts)
    return facts


def gather(context: ProxyContext) -> HostFacts:
    """Find Envoy, the agent's xDS and the admin address.

    Raises MissingProgramError, UsageError, ConfigurationError, ConsulError, RefusedError and
    PortInUseError. Errors about what is only needed for a start are not raised for ``-bootstrap``.
    """
    agent = None if context.agent_self is None else read_agent_xds(context.agent_self)
    program = None if context.bootstrap_only else _program(context)
    xds = _xds_source(context, agent, program)
    admin = _admin(context)
    grpc = None if xds.is_local else _grpc(context, agent)
    if grpc is not None and program is not None:
        _dial(grpc.address)
    v2 = grpc is not None and _is_v2(context, agent, program)
    facts = HostFacts(
        xds=xds,
        admin=admin,
        grpc=grpc,
        program=program,
        v2=v2,
        access_logs=() if v2 else _access_logs(context, agent),
        newest_supported=str(agent.newest_envoy) if agent and agent.newest_envoy else NEWEST_V2,
    )
    if context.option("enable-config-gen-logging"):
        _tell(context, facts)
    return facts


def _access_logs(context: ProxyContext, agent: AgentXds | None) -> tuple[dict[str, Any], ...]:
    found = read_access_logs(context.agent, agent)
    if found and context.options["admin-access-log-path"].source is not Source.DEFAULT:
        log.warning("-admin-access-log-path is not used: proxy-defaults sets the access log")
    return found


def _tell(context: ProxyContext, facts: HostFacts) -> None:
    """Log what the bootstrap is made of. Values of ``Proxy.Config`` are not shown: they may be secret."""
    registration = context.registration
    log.info("bootstrap: proxy %r stands for %r", registration.id, registration.destination_service_name)
    log.info("bootstrap: %s, admin API on %s", "v2" if facts.v2 else "v3", facts.admin)
    log.info("bootstrap: keys of Proxy.Config: %s", ", ".join(sorted(registration.config)) or "none")
    for name, option in sorted(context.options.items()):
        if option.source is not Source.DEFAULT:
            log.info(
                "bootstrap: -%s is %r from %s", name, option.value, option.origin or option.source.value
            )


def _is_v2(context: ProxyContext, agent: AgentXds | None, program: EnvoyProgram | None) -> bool:
    """``-envoy-api`` decides; else v2 where neither side can do v3. Unknown means v3."""
    if (wanted := context.option("envoy-api")) != API_AUTO:
        return bool(wanted == API_V2)
    if agent is None or agent.newest_envoy is None or agent.newest_envoy >= V3_ONLY:
        return False
    return program is None or program.version < V3_ONLY


def _program(context: ProxyContext) -> EnvoyProgram:
    if sys.platform not in {"linux", "darwin"}:
        message = (
            f"Envoy runs on Linux and macOS, not on {sys.platform!r}; print its configuration here with "
            "-bootstrap and start Envoy with it there"
        )
        raise MissingProgramError(message)
    path = find_program(context.option("envoy-binary"), context.environment)
    return EnvoyProgram(path=path, version=ask_version(path))


def _xds_source(context: ProxyContext, agent: AgentXds | None, program: EnvoyProgram | None) -> XdsSource:
    """``-bootstrap`` always renders for the agent: what it prints has to work without connect-proxy."""
    wanted = context.option("xds")
    if program is None:
        if wanted == XDS_LOCAL:
            message = (
                "-bootstrap prints a configuration for the agent's xDS; with -xds local Envoy needs "
                "connect-proxy beside it, so leave one of the two out"
            )
            raise UsageError(message)
        return XdsSource(source=XDS_AGENT, reason="-bootstrap was given")
    if context.registration.kind != CONNECT_PROXY:
        return _xds_of_gateway(context, wanted)
    chosen = choose_xds_source(
        wanted,
        agent,
        program.version,
        ignore_compatibility=context.option("ignore-envoy-compatibility"),
        from_catalog=bool(context.option("node-name")),
    )
    log.info("xDS by %s: %s", "the agent" if not chosen.is_local else "connect-proxy", chosen.reason)
    return chosen


def _xds_of_gateway(context: ProxyContext, wanted: str) -> XdsSource:
    if wanted == XDS_LOCAL:
        kind = context.registration.kind
        message = f"connect-proxy serves xDS to sidecars only, not to a {kind}; leave -xds local out"
        raise UsageError(message)
    return XdsSource(source=XDS_AGENT, reason="a gateway is configured by the agent")


def _admin(context: ProxyContext) -> Address:
    """Where the admin API listens. A taken address is an error, unless an older Envoy hands it over."""
    text = context.option("admin-bind")
    if context.is_managed and context.options["admin-bind"].source is Source.DEFAULT:
        text = MANAGED_ADMIN_BIND
    address = choose_admin_address(text, pick_port=not context.bootstrap_only)
    if not context.bootstrap_only and not asks_for_hot_restart(context.passthrough):
        check_free(address)
        if text.endswith(":0"):
            log.info("Envoy's admin API is on %s", address)
    return address


def _grpc(context: ProxyContext, agent: AgentXds | None) -> AgentGrpc:
    ca_file, ca_path = context.option("grpc-ca-file"), context.option("grpc-ca-path")
    choice = choose_grpc_address(
        context.option("grpc-addr"),
        agent,
        http_is_tls=context.agent.scheme == "https",
        grpc_ca_given=bool(ca_file or ca_path),
    )
    guessed = agent is None and not context.option("grpc-addr")
    level = logging.WARNING if guessed else logging.INFO
    transport = "TLS" if choice.tls else "plaintext"
    log.log(level, "the agent's gRPC is %s, %s: %s", choice.address, transport, choice.rule)
    address = choice.address
    if isinstance(address, SocketAddress):
        address = resolved(address, what=WHAT)
    return AgentGrpc(address=address, tls=choice.tls, ca_pem=_ca_pem(context, choice))


def _ca_pem(context: ProxyContext, choice: GrpcChoice) -> str:
    """The CA of the gRPC port: its own settings, else those of the HTTP API."""
    file, directory = context.option("grpc-ca-file"), context.option("grpc-ca-path")
    settings = "-grpc-ca-file, -grpc-ca-path"
    if choice.tls and not (file or directory):
        file, directory, settings = context.agent.ca_file, context.agent.ca_path, "-ca-file, -ca-path"
    pem = read_ca_bundle(file=file, directory=directory, settings=settings)
    if not choice.tls:
        return ""
    if not pem:
        message = (
            f"gRPC to the agent is TLS ({choice.rule}) but no CA certificate is given; "
            "give one with -grpc-ca-file, -grpc-ca-path, -ca-file or -ca-path"
        )
        raise ConfigurationError(message)
    return pem


def _dial(address: Address) -> None:
    """Say early that nothing listens where Envoy is sent to. No error: the agent may come later."""
    family = socket.AF_UNIX if isinstance(address, PipeAddress) else socket.AF_INET
    if isinstance(address, SocketAddress) and ":" in address.host:
        family = socket.AF_INET6
    target = address.path if isinstance(address, PipeAddress) else (address.host, address.port)
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(DIAL_TIMEOUT_S)
        try:
            connection.connect(target)
        except OSError as exc:
            log.warning(
                "nothing answers at the agent's gRPC address %s (%s); Envoy will keep trying", address, exc
            )
