"""Log lines of the data plane: floods of one kind are thinned out, and say so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connect_proxy_builtin.messages import Say

log = logging.getLogger("connect_proxy.builtin")

BURST: Final = 5
PERIOD_S: Final = 10.0
KEEP_KINDS: Final = 1000


@dataclass(slots=True)
class _Kind:
    began: float
    seen: int = 0


class ThinnedLog:
    """At most five lines of a kind in ten seconds; the next period begins with how many were left out."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def say(self, line: Say) -> None:
        """Log it, or count it."""
        now = self._clock()
        kind = self._kinds.get(line.kind)
        if kind is None or now - kind.began >= PERIOD_S:
            left_out = kind.seen - BURST if kind is not None else 0
            if left_out > 0:
                lines, were = ("line", "was") if left_out == 1 else ("lines", "were")
                log.log(
                    line.level, "%d more %s of the kind %r %s left out", left_out, lines, line.kind, were
                )
            if len(self._kinds) >= KEEP_KINDS:
                self._kinds.clear()
            kind = self._kinds[line.kind] = _Kind(began=now)
        kind.seen += 1
        if kind.seen <= BURST:
            log.log(line.level, "%s", line.text)
