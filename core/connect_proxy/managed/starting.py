"""Where a managed proxy's process is started, and how it is looked after."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.ending import STOP_TIMEOUT_S
from connect_proxy.managed.launching import start
from connect_proxy.managed.logs.files import LogFiles
from connect_proxy.managed.logs.labelled_output import labelled_pipe
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.plugin_api import Supervision
from connect_proxy.supervisor.process import ChildProcess

PERMANENT: Final = frozenset({2, 3, 4, 6})
"""connect-proxy's own exit codes that a new start cannot help: usage, configuration, program, refusal."""
PERMANENT_OF_COMMANDS: Final = frozenset({126, 127})


def supervision_of(assignment: Assignment) -> Supervision:
    """A proxy drains by itself after SIGTERM."""
    codes = PERMANENT_OF_COMMANDS if assignment.proxy.command else PERMANENT
    return Supervision(stop_timeout_s=STOP_TIMEOUT_S, permanent_exit_codes=codes)


def start_in(
    directory: DataDirectory | None,
    assignment: Assignment,
    *,
    door: Path | None,
    before_exec: Callable[[int], None],
) -> ChildProcess:
    """Start it; without a data directory it ends with us, however we end."""
    proxy_id = assignment.proxy.id
    outputs = _outputs(directory, proxy_id)
    try:
        return start(
            assignment,
            outputs,
            door=door,
            before_exec=before_exec,
            dies_with_us=directory is None,
        )
    finally:
        for descriptor in set(outputs):
            os.close(descriptor)


def _outputs(directory: DataDirectory | None, proxy_id: str) -> tuple[int, int]:
    """Where its output goes: to its own log files, or labelled to our standard error."""
    if directory is None:
        pipe = labelled_pipe(proxy_id)
        return pipe, pipe
    logs = LogFiles(folder=directory.logs_path, proxy_id=proxy_id)
    return logs.open("stdout"), logs.open("stderr")
