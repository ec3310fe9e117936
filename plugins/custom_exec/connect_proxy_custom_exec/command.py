"""The command that the words after ``--`` name: is it there, what do its exit codes mean."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connect_proxy.errors import MissingProgramError, UsageError

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
PERMANENT_EXIT_CODES: Final = frozenset({NOT_EXECUTABLE, NOT_FOUND})
"""What shells and env(1) answer with for a command that cannot be run (POSIX, XCU 2.8.2)."""


def daemon_argv(words: Sequence[str], *, search_path: str | None) -> tuple[str, ...]:
    """*words* unchanged, once it is certain that the first one can be run.

    *search_path* is the ``PATH`` that the daemon will have; None means the system's default. Raises
    UsageError without words, MissingProgramError (exit code 4) where the program is missing.
    """
    if not words or not words[0]:
        message = (
            "the backend 'custom_exec' needs the command to run: give it after --, as in "
            "'connect-proxy --backend custom_exec -sidecar-for web -- /usr/local/bin/my-proxy --verbose'"
        )
        raise UsageError(message)
    program = words[0]
    if shutil.which(program, path=search_path) is None:
        raise MissingProgramError(_why_missing(program, search_path))
    return tuple(words)


def explain_exit(status: int) -> str:
    """A sentence for an exit status that means the command never ran."""
    if status == NOT_EXECUTABLE:
        return "the command was found but could not be run: check its permissions and its '#!' line"
    if status == NOT_FOUND:
        return "the command, or one that it starts, was not found: give its whole path after --"
    return ""


def _why_missing(program: str, search_path: str | None) -> str:
    """What is wrong with *program* and what to do."""
    if os.sep in program:
        return _why_unusable(Path(program))
    folders = (os.defpath if search_path is None else search_path).split(os.pathsep)
    candidates = (Path(folder or os.curdir, program) for folder in folders)
    present = next((path for path in candidates if path.is_file()), None)
    if present is not None:
        return _why_unusable(present)
    return f"the program {program!r} is not in PATH: install it, or give its whole path after --"


def _why_unusable(path: Path) -> str:
    if path.is_dir():
        return f"{str(path)!r} is a directory, not a program: give the program's path after --"
    if path.exists():
        return f"the program {str(path)!r} may not be executed: chmod +x it, or give another after --"
    return f"the program {str(path)!r} does not exist: check the path after --"
