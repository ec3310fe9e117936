"""``connect-proxy status [ID]``: how the managed proxies are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.agent.rows import DATA_DIR
from connect_proxy.cli.operator import Order, at_most_one_id, order
from connect_proxy.cli.table import table
from connect_proxy.errors import AgentNotRunningError, UnknownProxyError
from connect_proxy.settings.setting import Setting

if TYPE_CHECKING:
    from connect_proxy.managed.state_file import DataDirectory

ROWS: Final = (
    Setting(name="format", default="table", choices=("table", "json"), help="How it is written."),
    DATA_DIR,
)
HEAD: Final = ("ID", "SERVICE", "BACKEND", "STATE", "PID", "PORT", "UPTIME", "RESTARTS", "LAST")


def execute(words: Sequence[str]) -> int:
    """Print it. Raises UnknownProxyError, ControlError, ConfigurationError."""
    summary = "List the managed proxies. Without a running agent: from what the last one wrote down."
    said = order("status", ROWS, words, usage="[ID] [OPTIONS]", summary=summary)
    if said is None:
        return 0
    proxies = rows_of(said, at_most_one_id(said, "status"))
    if said.settings.text("format") == "json":
        click.echo(json.dumps(proxies, indent=2))
    else:
        click.echo(table(HEAD, [cells(row) for row in proxies]))
    return 0


def rows_of(said: Order, proxy_id: str) -> list[dict[str, Any]]:
    """All proxies, or that one."""
    proxies = [with_its_own_word(row, said.directory) for row in _from_agent_or_file(said)]
    if not proxy_id:
        return proxies
    found = [row for row in proxies if row["id"] == proxy_id]
    if not found:
        known = ", ".join(row["id"] for row in proxies) or "none"
        message = f"no managed proxy has the id '{proxy_id}'; there are {known}"
        raise UnknownProxyError(message)
    return found


def _from_agent_or_file(said: Order) -> list[dict[str, Any]]:
    from connect_proxy.managed import offline
    from connect_proxy.managed.control import ask

    try:
        rows: list[dict[str, Any]] = ask(said.folder, "status")["proxies"]
    except AgentNotRunningError:
        rows = offline.status(said.directory)
        click.echo(f"{PROGRAM}: no agent runs on '{said.folder}': this is from its state file", err=True)
    return rows


def with_its_own_word(row: dict[str, Any], directory: DataDirectory) -> dict[str, Any]:
    """With what the proxy itself said last, where it ended with an exit code and nobody knows more.

    Only the one line in which connect-proxy says why it ends: what other programs write stays in the logs.
    """
    if row["last_error"] or row["pid"] or (row["last_exit"] or 0) <= 0:
        return row
    from connect_proxy.managed.logs.reading import last_line

    said = last_line(directory, row["id"])
    own = said.startswith(f"{PROGRAM}: ")
    return {**row, "last_error": said.removeprefix(f"{PROGRAM}: ")} if own else row


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One proxy as a line of the table."""
    return (
        row["id"],
        row["service"],
        row["backend"],
        row["state"],
        str(row["pid"] or "-"),
        str(row["port"] or "-"),
        duration(row["uptime_s"]),
        str(row["restarts"]),
        row["last_error"] or last_exit(row["last_exit"]),
    )


def duration(seconds: float) -> str:
    """``12s``, ``3m12s``, ``5h03m``, ``2d04h``; ``-`` for what does not run."""
    whole = int(seconds)
    if not seconds:
        return "-"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def last_exit(status: int | None) -> str:
    """How it ended last time."""
    if status is None:
        return "-"
    return f"exit code {status}" if status >= 0 else f"signal {-status}"
