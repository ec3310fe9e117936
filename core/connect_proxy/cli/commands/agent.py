"""``connect-proxy agent``: managed proxies beside a Consul; with ``-dev``, a small Consul of our own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from connect_proxy.cli.agent.rows import DEV_ROWS, ROWS
from connect_proxy.cli.flags import Given, interpreted, no_words
from connect_proxy.cli.invocation import invocation
from connect_proxy.cli.logs import canonical_level, configure_logs
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.fields import CONSUL_API
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.sources import defaults

__all__ = ["ROWS", "execute"]


def execute(words: Sequence[str]) -> int:
    """Serve until TERM or INT; 0 then. Raises UsageError, ConfigurationError, PortInUseError and others."""
    summary = (
        "Start and supervise the proxies that service definitions ask for, and keep them registered in"
        " Consul. With -dev: run a small Consul for one machine, for development and tests; other"
        " machines and production are Consul's own business."
    )
    usage = "-config-dir DIRECTORY [OPTIONS] | -dev [OPTIONS]"
    refuse_server(words)
    given = interpreted(words, VerbCommand("agent", ROWS, usage=usage, summary=summary))
    if given is None:
        return 0
    no_words(given, "agent")
    settings = resolve(DEV_ROWS[:1], (defaults(DEV_ROWS[:1]), given.layer))
    return _dev(given) if settings.boolean("dev") else _managed(given)


def _dev(given: Given) -> int:
    from connect_proxy.cli.agent import dev, managed

    refuse(
        given,
        {row.name for row in CONSUL_API} - {"datacenter"},
        "with -dev the embedded agent is the Consul behind, and its own port is -http-port",
    )
    settings = resolve(ROWS, (defaults(ROWS), given.layer))
    configure_logs(canonical_level(settings.text("log-level")), as_json=settings.boolean("log-json"))
    if managed.configured_paths(settings):
        from connect_proxy.cli.agent import dev_managed

        refuse(given, {"api-addr"}, "with -dev the API is in front of the embedded agent's: use -http-port")
        return dev_managed.run(settings)
    refuse(given, {"data-dir", "dry-run", "api-addr"}, "it is of managed proxies: add -config-dir")
    asyncio.run(dev.serve(settings))
    return 0


def _managed(given: Given) -> int:
    from connect_proxy.cli.agent import managed

    refuse(given, {row.name for row in DEV_ROWS} - {"dev"}, "it is of the embedded agent: add -dev")
    call = invocation(ROWS, given.layer)
    if not managed.configured_paths(call.settings):
        message = (
            "the agent was not told what to run: name definitions with -config-dir or -config-file;"
            " connect-proxy agent -dev runs a small Consul for development"
        )
        raise UsageError(message)
    return managed.run(call.settings, dataclasses.replace(call.access, datacenter=""))


def refuse_server(words: Sequence[str]) -> None:
    """Raise UsageError for Consul's ``-server``: people try it, and the embedded agent is none."""
    if any(word.startswith("-") and word.lstrip("-").partition("=")[0] == "server" for word in words):
        message = (
            "-server is not a way of this agent: the embedded one (-dev) keeps its CA, its tokens and its"
            " intentions in memory alone; for a Consul that keeps them, run `consul agent -server` and name"
            " it with -http-addr"
        )
        raise UsageError(message)


def refuse(given: Given, names: set[str], why: str) -> None:
    """Raise UsageError for a flag that makes no sense in this way of the agent."""
    for name in sorted(names & given.layer.keys()):
        message = f"-{name} cannot be used here: {why}"
        raise UsageError(message)
