"""``connect-proxy agent -dev`` and ``-server``: the embedded Consul-compatible agent, in the foreground."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from connect_proxy.cli.agent import managed
from connect_proxy.cli.agent.rows import OFF
from connect_proxy.errors import MissingDependencyError, UsageError
from connect_proxy.settings.resolve import ResolvedSettings
from connect_proxy.settings.setting import Source

if TYPE_CHECKING:
    from connect_proxy.dev_agent.agent import AgentStorage, DevAgentOptions, Listening, XdsService
    from connect_proxy.dev_agent.storage.kept import KeptAgent

log = logging.getLogger("connect_proxy.agent")


def run(settings: ResolvedSettings) -> None:
    """Run the agent until a signal ends it; with ``-server`` on the state in its data directory."""
    if not settings.boolean("server"):
        asyncio.run(_serve(settings, None))
        return
    from connect_proxy.managed.definitions.configuration import AgentConfiguration
    from connect_proxy.managed.state_file import DataDirectory

    directory = DataDirectory(path=managed.data_directory(settings, AgentConfiguration()))
    directory.lock()
    try:
        asyncio.run(_serve(settings, storage_in(directory.path, settings)))
    finally:
        directory.unlock()


def storage_in(data_directory: Path, settings: ResolvedSettings) -> AgentStorage | None:
    """Where the state is kept; None without ``-server``. Raises UsageError, ConfigurationError and
    DataDirectoryError."""
    if not settings.boolean("server"):
        return None
    from connect_proxy.dev_agent.storage.opening import opened

    if (expected := settings.integer("bootstrap-expect")) != 1:
        message = (
            f'-bootstrap-expect is "{expected}": this agent is alone; a cluster is `consul agent -server`'
        )
        raise UsageError(message)
    return opened(data_directory)


async def _serve(settings: ResolvedSettings, storage: AgentStorage | None) -> None:
    from connect_proxy.dev_agent.agent import run_dev_agent

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce(listening: Listening) -> None:
        as_json = settings.text("format") == "json"
        sys.stdout.write(f"{json_line(listening) if as_json else text(listening, storage)}\n")
        sys.stdout.flush()

    options = dev_agent_options(settings, None if storage is None else storage.kept)
    start = partial(run_dev_agent, options, announce=announce, stop=stop, storage=storage)
    try:
        await start(xds=xds_service(settings))
    except MissingDependencyError as exc:
        if settings.source("grpc-port") is not Source.DEFAULT:
            raise
        log.warning("started without gRPC, so no xDS for Envoy: %s", exc)
        await start(xds=None)


def dev_agent_options(settings: ResolvedSettings, kept: KeptAgent | None = None) -> DevAgentOptions:
    """The options that *settings* ask for, on what an agent before has *kept*.

    Raises UsageError for what is no port or no datacenter, or another one than was kept.
    """
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
        node=settings.text("node") or (kept.node.name if kept else socket.gethostname()),
        datacenter=_kept_datacenter(settings, kept),
        sidecar_ports=(first, last),
        ca_grace=settings.seconds("ca-grace"),
    )


def _kept_datacenter(settings: ResolvedSettings, kept: KeptAgent | None) -> str:
    """Every identity names it: what is kept is of one alone."""
    wanted = _datacenter(settings.text("datacenter"))
    if kept is None or wanted == kept.node.datacenter:
        return wanted
    if settings.source("datacenter") is Source.DEFAULT:
        return kept.node.datacenter
    message = (
        f'-datacenter is "{wanted}", and the data directory is of "{kept.node.datacenter}":'
        " give another -data-dir"
    )
    raise UsageError(message)


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


def text(listening: Listening, storage: AgentStorage | None) -> str:
    """The same for people."""
    mode = "development mode: nothing survives a restart"
    if storage is not None:
        mode = f"server mode: the state is in '{storage.file.path}', secrets nowhere"
    lines = {
        "HTTP": listening.http,
        "gRPC (xDS)": listening.grpc or "off",
        "DNS": listening.dns or "off",
        "node": f"{listening.node} ({listening.node_id})",
        "datacenter": listening.datacenter,
        "trust domain": listening.trust_domain,
    }
    rows = "\n".join(f"  {name:<12}  {value}" for name, value in lines.items())
    return f"connect-proxy agent, {mode}\n{rows}"
