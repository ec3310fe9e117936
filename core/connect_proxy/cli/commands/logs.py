"""``connect-proxy logs [-f] [-n N] [ID]``: what the managed proxies wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

from connect_proxy.cli.agent.rows import DATA_DIR
from connect_proxy.cli.operator import at_most_one_id, order
from connect_proxy.errors import UsageError
from connect_proxy.settings.setting import Setting, Type

ROWS: Final = (
    Setting(name="f", type=Type.BOOLEAN, default=False, help="Go on with what is written from now on."),
    Setting(
        name="n", type=Type.INTEGER, default=100, metavar="N", help="How many of the last lines of each."
    ),
    DATA_DIR,
)
POLL_S: Final = 0.25
"""Files tell nobody that they grew, but for inotify, which a network file system does not have."""


def execute(words: Sequence[str]) -> int:
    """Print them; with ``-f`` until interrupted. Raises UnknownProxyError, UsageError."""
    from connect_proxy.managed.logs.reading import LogTail, log_paths

    summary = (
        "Print the last lines that managed proxies wrote, standard output and error, with the file's name"
        " before the lines when there are several. Works without an agent too."
    )
    said = order("logs", ROWS, words, usage="[ID] [OPTIONS]", summary=summary)
    if said is None:
        return 0
    count = said.settings.integer("n")
    if count < 0:
        message = f'-n is "{count}": give a number of lines, 0 for none'
        raise UsageError(message)
    proxy_id = at_most_one_id(said, "logs")
    follow = said.settings.boolean("f")
    tails: dict[str, LogTail] = {}
    several = False
    first = True
    while True:
        for name, path in log_paths(said.directory, proxy_id).items():
            if name not in tails:
                tails[name] = LogTail(path, last=count if first else None)
        several = several or len(tails) > 1
        for name, tail in tails.items():
            for line in tail.lines(ended=not follow):
                sys.stdout.write(f"{name}: {line}\n" if several else f"{line}\n")
        sys.stdout.flush()
        if not follow:
            return 0
        first = False
        time.sleep(POLL_S)
