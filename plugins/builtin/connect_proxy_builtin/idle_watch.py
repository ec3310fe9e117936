"""Notices that a connection moves no byte, without a word from its hot path: by looking at its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.timers import Timer

LOOKS: Final = 4
"""How often a connection is looked at within its idle time-out."""


class IdleWatch:
    """Calls *expired* once *moved* has given the same total for *limit_s* seconds."""

    def __init__(
        self, reactor: Reactor, limit_s: float, moved: Callable[[], int], expired: Callable[[], None]
    ) -> None:
        self._reactor, self._pause = reactor, limit_s / LOOKS
        self._moved, self._expired = moved, expired
        self._total = self._looks = 0
        self._timer: Timer = reactor.call_later(self._pause, self._look)

    def _look(self) -> None:
        total = self._moved()
        self._looks = self._looks + 1 if total == self._total else 0
        self._total = total
        if self._looks >= LOOKS:
            self._expired()
        else:
            self._timer = self._reactor.call_later(self._pause, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
