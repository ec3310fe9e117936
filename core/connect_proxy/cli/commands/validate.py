"""``connect-proxy validate PATH...``: what is wrong with the agent's files, before an agent reads them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from connect_proxy.cli import PROGRAM
from connect_proxy.cli.flags import interpreted
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import AgentConfigurationError, UsageError
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.setting import Setting
from connect_proxy.settings.sources import defaults

if TYPE_CHECKING:
    from connect_proxy.managed.definitions.configuration import AgentConfiguration

ROWS: Final = (
    Setting(name="format", default="text", choices=("text", "json"), help="How the findings are written."),
)


def execute(words: Sequence[str]) -> int:
    """Check the files; 0 if an agent would take them. Raises AgentConfigurationError with all problems."""
    verb = VerbCommand(
        "validate",
        ROWS,
        usage="[OPTIONS] PATH...",
        summary="Check files and folders of service definitions and agent settings (HCL, JSON).",
    )
    given = interpreted(words, verb)
    if given is None:
        return 0
    settings = resolve(ROWS, (defaults(ROWS), given.layer))
    paths = [*given.positional, *given.passthrough]
    if not paths:
        message = f"which files is not said; name files or folders: {PROGRAM} validate PATH..."
        raise UsageError(message)
    as_json = settings.text("format") == "json"
    try:
        configuration = checked([Path(path) for path in paths])
    except AgentConfigurationError as exc:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "problems": exc.problems}, indent=2))
        return exc.exit_code
    report(configuration, as_json=as_json)
    return 0


def checked(paths: Sequence[Path]) -> AgentConfiguration:
    """What *paths* say. Raises AgentConfigurationError: wrong files, or files that clash."""
    from connect_proxy.managed.definitions.loading import load_configuration

    return load_configuration(paths)


def report(configuration: AgentConfiguration, *, as_json: bool) -> None:
    """Say what was read, and what is odd about it."""
    from connect_proxy.managed.wanted import wanted_proxies

    counts = {
        "files": len(configuration.files),
        "services": len(configuration.services),
        "proxies": len(wanted_proxies(configuration)),
    }
    if as_json:
        facts = {"valid": True, "problems": [], "warnings": list(configuration.warnings), **counts}
        click.echo(json.dumps(facts, indent=2))
        return
    for warning in configuration.warnings:
        sys.stderr.write(f"{PROGRAM}: warning: {warning}\n")
    said = (
        number_of(counts["files"], "file"),
        number_of(counts["services"], "service"),
        number_of(counts["proxies"], "managed proxy", "managed proxies"),
    )
    click.echo(f"valid: {', '.join(said)}")


def number_of(count: int, one: str, many: str = "") -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
