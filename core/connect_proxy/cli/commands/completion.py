"""``connect-proxy completion bash|zsh|fish``: the script that a shell sources."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from connect_proxy.cli.flags import interpreted
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting

ROWS: Final[tuple[Setting, ...]] = ()
SHELLS: Final = ("bash", "zsh", "fish")


def execute(words: Sequence[str]) -> int:
    """Print the script. Raises UsageError for another shell."""
    verb = VerbCommand(
        "completion",
        ROWS,
        usage="|".join(SHELLS),
        summary='Print the completion script for a shell: eval "$(connect-proxy completion bash)".',
    )
    given = interpreted(words, verb)
    if given is None:
        return 0
    if len(given.positional) != 1 or given.positional[0] not in SHELLS:
        said = " ".join(given.positional)
        message = (
            f'"{said}" is no shell that is known; write connect-proxy completion {" or ".join(SHELLS)}'
        )
        raise UsageError(message)

    from connect_proxy.cli.completion import script

    sys.stdout.write(script(given.positional[0]))
    return 0
