"""The command: the words after ``--``, and what its exit codes mean.

Whether the program is there is the core's to find out, which has to find it anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connect_proxy.errors import UsageError

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
PERMANENT_EXIT_CODES: Final = frozenset({NOT_EXECUTABLE, NOT_FOUND})
"""What shells and env(1) answer with for a command that cannot be run (POSIX, XCU 2.8.2)."""


def daemon_argv(words: Sequence[str]) -> tuple[str, ...]:
    """*words*, unchanged. Raises UsageError where there are none."""
    if not words or not words[0]:
        message = (
            "the backend 'custom_exec' needs the command to run: give it after --, as in "
            "'connect-proxy --backend custom_exec -sidecar-for web -- /usr/local/bin/my-proxy --verbose'"
        )
        raise UsageError(message)
    return tuple(words)


def explain_exit(status: int) -> str:
    """A sentence for an exit status that means the command never ran."""
    if status == NOT_EXECUTABLE:
        return "the command was found but could not be run: check its permissions and its '#!' line"
    if status == NOT_FOUND:
        return "the command, or one that it starts, was not found: give its whole path after --"
    return ""
