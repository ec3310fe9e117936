"""``connect-proxy agent -dev``: the embedded Consul-compatible agent, in the foreground."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from connect_proxy.cli.flags import VerbCommand, interpreted, no_words
from connect_proxy.cli.logs import canonical_level, configure_logs
from connect_proxy.errors import MissingDependencyError, UsageError
from connect_proxy.settings.fields import LOG_LEVELS
from connect_proxy.settings.resolve import ResolvedSettings, resolve
from connect_proxy.settings.setting import Setting, Source, Type
from connect_proxy.settings.sources import defaults

if TYPE_CHECKING:
    from connect_proxy.dev_agent.agent import DevAgentOptions, Listening, XdsService

log = logging.getLogger("connect_proxy.agent")

OFF: Final = -1


def _port(name: str, default: int, what: str) -> Setting:
    return Setting(name=name, type=Type.INTEGER, default=default, metavar="PORT", help=what)


ROWS: Final = (
    Setting(
        name="dev",
        type=Type.BOOLEAN,
        default=False,
        help="Development mode: everything in memory, nothing survives a restart.",
    ),
    _port("http-port", 8500, "Port of the HTTP API; 0 picks a free one."),
    _port("grpc-port", 8502, "Port that serves xDS to Envoy; 0 picks a free one, -1 is off."),
    _port("dns-port", 8600, "Port of DNS, UDP and TCP; 0 picks a free one, -1 is off."),
    Setting(
        name="client",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="IP address that HTTP, gRPC and DNS listen on, or unix:///path for HTTP alone.",
    ),
    Setting(
        name="bind",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="The node's own IP address: where services without an address are reached.",
    ),
    Setting(name="node", metavar="NAME", help="Name of the node; the host's name if not given."),
    Setting(name="datacenter", default="dc1", metavar="NAME", help="Name of the datacenter."),
    _port("sidecar-min-port", 21000, "First port that is handed out to sidecars."),
    _port("sidecar-max-port", 21255, "Last port that is handed out to sidecars."),
    Setting(
        name="format",
        default="text",
        choices=("text", "json"),
        help="How it is told where the agent listens; json is one line, written once it answers.",
    ),
    Setting(
        name="log-level",
        default="INFO",
        choices=LOG_LEVELS,
        metavar="LEVEL",
        help="The least severe messages that are logged, on standard error.",
    ),
    Setting(name="log-json", type=Type.BOOLEAN, default=False, help="Log JSON lines."),
)


def execute(words: Sequence[str]) -> int:
    """Serve until TERM or INT; 0 then. Raises UsageError, PortInUseError, ConfigurationError."""
    summary = (
        "Run the embedded agent: a small Consul for one machine, for development and tests. Other"
        " machines and production are Consul's own business."
    )
    given = interpreted(words, VerbCommand("agent", ROWS, usage="-dev [OPTIONS]", summary=summary))
    if given is None:
        return 0
    no_words(given, "agent")
    settings = resolve(ROWS, (defaults(ROWS), given.layer))
    if not settings.boolean("dev"):
        message = (
            "the agent runs in development mode only: write connect-proxy agent -dev;"
            " the mode that supervises managed proxies is not part of this version"
        )
        raise UsageError(message)
    configure_logs(canonical_level(settings.text("log-level")), as_json=settings.boolean("log-json"))
    asyncio.run(serve(settings))
    return 0


async def serve(settings: ResolvedSettings) -> None:
    """Run the agent until a signal ends it."""
    from connect_proxy.dev_agent.agent import run_dev_agent

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce(listening: Listening) -> None:
        as_json = settings.text("format") == "json"
        sys.stdout.write(f"{json_line(listening) if as_json else text(listening)}\n")
        sys.stdout.flush()

    options = dev_agent_options(settings)
    try:
        await run_dev_agent(options, announce=announce, stop=stop, xds=_xds(settings))
    except MissingDependencyError as exc:
        if settings.source("grpc-port") is not Source.DEFAULT:
            raise
        log.warning("started without gRPC, so no xDS for Envoy: %s", exc)
        await run_dev_agent(options, announce=announce, stop=stop, xds=None)


def dev_agent_options(settings: ResolvedSettings) -> DevAgentOptions:
    """The options that *settings* ask for. Raises UsageError for what is no port or no datacenter."""
    from connect_proxy.dev_agent.agent import DevAgentOptions

    for name, least in (("http-port", 0), ("grpc-port", OFF), ("dns-port", OFF)):
        _check_port(settings, name, least)
    first, last = (_check_port(settings, f"sidecar-{end}-port", 1) for end in ("min", "max"))
    if first > last:
        message = f'-sidecar-min-port is "{first}", above -sidecar-max-port "{last}"; exchange them'
        raise UsageError(message)
    return DevAgentOptions(
        http_port=settings.integer("http-port"),
        grpc_port=settings.integer("grpc-port"),
        dns_port=settings.integer("dns-port"),
        client=settings.text("client"),
        bind=settings.text("bind"),
        node=settings.text("node") or socket.gethostname(),
        datacenter=_datacenter(settings.text("datacenter")),
        sidecar_ports=(first, last),
    )


def _datacenter(name: str) -> str:
    """In lower case, as Consul's agent has it: the name is a part of identities and of DNS names."""
    if re.fullmatch(r"[a-z0-9_-]+", name.lower()):
        return name.lower()
    message = f'-datacenter is "{name}": use only a-z, 0-9, "-" and "_"'
    raise UsageError(message)


def _check_port(settings: ResolvedSettings, name: str, least: int) -> int:
    port = settings.integer(name)
    if least <= port <= 65535:
        return port
    message = f'-{name} is "{port}": not a port; give a number from {least} to 65535'
    raise UsageError(message)


def _xds(settings: ResolvedSettings) -> XdsService | None:
    """What serves xDS, from the backend that can; none where the gRPC port is off."""
    from connect_proxy.backends import embedded_xds

    return None if settings.integer("grpc-port") == OFF else embedded_xds()


def json_line(listening: Listening) -> str:
    """Where it listens, for programs; an address is empty where that listener is off."""
    return json.dumps(
        {
            "http_addr": listening.http,
            "grpc_addr": listening.grpc,
            "dns_addr": listening.dns,
            "node": listening.node,
            "node_id": listening.node_id,
            "datacenter": listening.datacenter,
            "trust_domain": listening.trust_domain,
        }
    )


def text(listening: Listening) -> str:
    """The same for people."""
    lines = {
        "HTTP": listening.http,
        "gRPC (xDS)": listening.grpc or "off",
        "DNS": listening.dns or "off",
        "node": f"{listening.node} ({listening.node_id})",
        "datacenter": listening.datacenter,
        "trust domain": listening.trust_domain,
    }
    rows = "\n".join(f"  {name:<12}  {value}" for name, value in lines.items())
    return f"connect-proxy agent, development mode: nothing survives a restart\n{rows}"
