"""``connect-proxy reload``: have the agent read its files again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from connect_proxy.cli.agent.rows import DATA_DIR
from connect_proxy.cli.operator import order
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting, Type

ROWS: Final = (
    Setting(
        name="dry-run", type=Type.BOOLEAN, default=False, help="Print the difference and apply nothing."
    ),
    DATA_DIR,
)


def execute(words: Sequence[str]) -> int:
    """Print the difference. Raises AgentNotRunningError, ControlError (wrong files change nothing)."""
    from connect_proxy.managed.control import ask

    summary = "Have the agent read its files again, and print what that changes."
    said = order("reload", ROWS, words, usage="[OPTIONS]", summary=summary)
    if said is None:
        return 0
    if said.words:
        message = f'reload does not take the word "{said.words[0]}": all files are read'
        raise UsageError(message)
    lines = ask(said.folder, "reload", dry_run=said.settings.boolean("dry-run"))
    for line in lines or ["nothing changes" if said.settings.boolean("dry-run") else "nothing changed"]:
        click.echo(line)
    return 0
