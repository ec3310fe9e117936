"""``connect-proxy agent -dev``: the embedded Consul-compatible agent, in the foreground."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING

from connect_proxy.cli.agent.rows import OFF
from connect_proxy.errors import MissingDependencyError, UsageError
from connect_proxy.settings.resolve import ResolvedSettings
from connect_proxy.settings.setting import Source

if TYPE_CHECKING:
    from connect_proxy.dev_agent.agent import DevAgentOptions, Listening, XdsService

log = logging.getLogger("connect_proxy.agent")


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
        await run_dev_agent(options, announce=announce, stop=stop, xds=xds_service(settings))
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


def xds_service(settings: ResolvedSettings) -> XdsService | None:
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
