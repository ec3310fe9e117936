"""``connect-proxy run``: one sidecar in the foreground. Also what ``connect-proxy`` alone does."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from connect_proxy.cli.arguments import peeked
from connect_proxy.cli.flags import interpreted, no_words
from connect_proxy.cli.invocation import chosen_proxy, invocation
from connect_proxy.cli.logs import canonical_level
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import BackendLoadError, UsageError
from connect_proxy.settings.fields import CORE, RUN
from connect_proxy.settings.resolve import resolve
from connect_proxy.settings.setting import Setting, Source, Sourced
from connect_proxy.settings.sources import defaults, environment

if TYPE_CHECKING:
    from connect_proxy.backends import Backend

ROWS: Final = CORE
_BACKEND: Final = RUN[0]


def execute(words: Sequence[str]) -> int:
    """Run it: the chosen backend first, since it brings flags of its own. Returns the exit code."""
    from connect_proxy.backends import load_backend

    name = backend_name(words)
    backend = load_backend(name)
    own = backend_rows(backend)
    rows = (*CORE, *own)
    given = interpreted(words, command(rows, backend=name))
    if given is None:
        return 0
    no_words(given, "run", passthrough=True)
    if str(given.layer.get("backend", Sourced(name, Source.DEFAULT)).value) != name:
        message = "the backend's flags are read by its name: write -backend NAME before all other flags"
        raise UsageError(message)
    keep_secrets_out_of_core_files()
    call = invocation(rows, given.layer)
    proxy_id, sidecar_for = chosen_proxy(call.settings, required=False)

    from connect_proxy.proxy_run import RunRequest, run_proxy

    return run_proxy(
        RunRequest(
            backend=backend,
            access=call.access,
            proxy_id=proxy_id,
            sidecar_for=sidecar_for,
            wait_s=call.settings.seconds("wait"),
            options=call.settings.only(own),
            passthrough=given.passthrough,
            log_level=canonical_level(call.settings.text("log-level")),
            log_json=call.settings.boolean("log-json"),
            bootstrap=call.settings.boolean("bootstrap"),
            environment=dict(os.environ),
        )
    )


def command(rows: Sequence[Setting], *, backend: str) -> VerbCommand:
    """The verb with the backend's own flags among *rows*."""
    return VerbCommand(
        "run",
        rows,
        usage="[OPTIONS] [-- PASS-THROUGH...]",
        summary=(
            "Run the sidecar proxy of one service in the foreground. The words after -- belong to the"
            " backend, unchanged."
        ),
        own=f"Options of the backend {backend}",
    )


def backend_name(words: Sequence[str]) -> str:
    """The backend that flag, variable or settings file asks for, before the other flags are known."""
    said = peeked(words, CORE)
    flags = {
        key: Sourced(said[key], Source.FLAG, f"-{key}") for key in ("backend", "settings") if key in said
    }
    return resolve((_BACKEND,), (defaults((_BACKEND,)), _file(flags), _variables(), flags)).text("backend")


def _variables() -> dict[str, Sourced]:
    return dict(environment((_BACKEND,), os.environ))


def _file(flags: dict[str, Sourced]) -> dict[str, Sourced]:
    """The file's ``backend`` alone: its other keys are checked once all rows are known."""
    if "settings" not in flags:
        return {}
    from connect_proxy.settings.sources import read_settings_file, settings_file

    path = str(flags["settings"].value)
    document = read_settings_file(path)
    only = {key: value for key, value in document.items() if key == "backend"}
    return dict(settings_file((_BACKEND,), only, path))


def backend_rows(backend: Backend) -> tuple[Setting, ...]:
    """The backend's own options. Raises BackendLoadError where one has a name of the core's."""
    rows = tuple(backend.options())
    names = [row.name for row in rows]
    core = {row.name for row in CORE}
    for name in names:
        if name in core or names.count(name) > 1:
            owner = "the core's" if name in core else "another of its own"
            message = (
                f'backend "{backend.name}" declares the option "{name}", which is {owner};'
                f' its author has to rename it, such as "{backend.name}-{name}"'
            )
            raise BackendLoadError(message)
    return rows


def keep_secrets_out_of_core_files() -> None:
    """No core file, unless somebody raises the soft limit again.

    Private keys and the ACL token live in memory only: a core file would put them on disk. The
    hard limit stays, so that a wrapper that wants core files of the proxy's program can allow them.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
