"""How long the leaf is good for: warns when its end comes near, says once when it is there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from connect_proxy_builtin.policy import TlsMaterial

log = logging.getLogger("connect_proxy.builtin")

LOOK_EVERY_S: Final = 1.0
NEAR_END: Final = 0.1
"""Consul renews at 60 to 90 % of a leaf's life: in the last tenth, something is wrong."""


class LeafClock:
    """The validity of the leaf in force. The workers refuse by themselves once it is over."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._leaf: TlsMaterial | None = None
        self._said = ""

    def use(self, leaf: TlsMaterial) -> None:
        """A new leaf is in force."""
        if leaf != self._leaf:
            self._leaf, self._said = leaf, ""

    @property
    def is_valid(self) -> bool:
        """Whether there is a leaf whose time is not over."""
        return self._leaf is not None and self._clock() < self._leaf.valid_before

    async def watch(self) -> None:
        """Look at it for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Say what has to be said, once for each leaf."""
        leaf = self._leaf
        if leaf is None or self._said == "expired":
            return
        left = leaf.valid_before - self._clock()
        if left <= 0:
            self._said = "expired"
            log.error(
                "the certificate of %s expired at %s: every connection is refused until Consul "
                "hands out a new one",
                leaf.identity,
                _iso(leaf.valid_before),
            )
        elif not self._said and left < NEAR_END * (leaf.valid_before - leaf.valid_after):
            self._said = "near"
            log.warning(
                "the certificate of %s expires at %s and Consul has not renewed it yet",
                leaf.identity,
                _iso(leaf.valid_before),
            )

    def status(self) -> Mapping[str, Any]:
        """For the state dump."""
        if self._leaf is None:
            return {"valid": False}
        return {
            "valid": self.is_valid,
            "identity": self._leaf.identity,
            "serial": self._leaf.serial,
            "expires_at": _iso(self._leaf.valid_before),
            "expires_in_s": round(self._leaf.valid_before - self._clock()),
        }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()
