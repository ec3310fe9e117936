"""``connect-proxy agent``: managed proxies beside a Consul; with ``-dev`` or ``-server``, a small Consul of
our own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

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

OF_EMBEDDED: Final = "it is of the embedded agent: add -dev or -server"


def execute(words: Sequence[str]) -> int:
    """Serve until TERM or INT; 0 then. Raises UsageError, ConfigurationError, PortInUseError and others."""
    summary = (
        "Start and supervise the proxies that service definitions ask for, and keep them registered in"
        " Consul. With -dev: run a small Consul for one machine, for development and tests; with -server:"
        " one whose state outlasts its restarts. More machines than one are Consul's own business."
    )
    usage = "-config-dir DIRECTORY [OPTIONS] | -dev [OPTIONS] | -server [OPTIONS]"
    given = interpreted(words, VerbCommand("agent", ROWS, usage=usage, summary=summary))
    if given is None:
        return 0
    no_words(given, "agent")
    modes = [row for row in DEV_ROWS if row.name in {"dev", "server"}]
    chosen = [row.name for row in modes if resolve([row], (defaults([row]), given.layer)).boolean(row.name)]
    if len(chosen) > 1:
        message = "-dev and -server cannot be used together: -dev keeps nothing, -server all but secrets"
        raise UsageError(message)
    return _embedded(given, f"-{chosen[0]}") if chosen else _managed(given)


def _embedded(given: Given, mode: str) -> int:
    from connect_proxy.cli.agent import dev, managed

    refuse(
        given,
        {row.name for row in CONSUL_API} - {"datacenter"},
        f"with {mode} the embedded agent is the Consul behind, and its own port is -http-port",
    )
    if mode == "-dev":
        refuse(given, {"bootstrap-expect", "ca-grace"}, "it is of -server")
    settings = resolve(ROWS, (defaults(ROWS), given.layer))
    configure_logs(canonical_level(settings.text("log-level")), as_json=settings.boolean("log-json"))
    if managed.configured_paths(settings):
        from connect_proxy.cli.agent import dev_managed

        refuse(
            given, {"api-addr"}, f"with {mode} the API is in front of the embedded agent's: use -http-port"
        )
        return dev_managed.run(settings)
    of_managed = {"data-dir", "dry-run", "api-addr"} - ({"data-dir"} if mode == "-server" else set())
    refuse(given, of_managed, "it is of managed proxies: add -config-dir")
    dev.run(settings)
    return 0


def _managed(given: Given) -> int:
    from connect_proxy.cli.agent import managed

    refuse(given, {row.name for row in DEV_ROWS} - {"dev", "server"}, OF_EMBEDDED)
    call = invocation(ROWS, given.layer)
    if not managed.configured_paths(call.settings):
        message = (
            "the agent was not told what to run: name definitions with -config-dir or -config-file;"
            " connect-proxy agent -dev runs a small Consul for development,"
            " connect-proxy agent -server one that keeps its state"
        )
        raise UsageError(message)
    return managed.run(call.settings, dataclasses.replace(call.access, datacenter=""))


def refuse(given: Given, names: set[str], why: str) -> None:
    """Raise UsageError for a flag that makes no sense in this way of the agent."""
    for name in sorted(names & given.layer.keys()):
        message = f"-{name} cannot be used here: {why}"
        raise UsageError(message)
