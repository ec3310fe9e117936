"""Whether the pass-through asks for Envoy's hot restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

EPOCH: Final = "--restart-epoch"
DISABLE: Final = "--disable-hot-restart"


def asks_for_hot_restart(passthrough: Sequence[str]) -> bool:
    """``--restart-epoch`` in either spelling. A drain time alone does not ask for it."""
    return any(word == EPOCH or word.startswith(f"{EPOCH}=") for word in passthrough)


def hot_restart_words(passthrough: Sequence[str]) -> tuple[str, ...]:
    """What to add: several Envoys on one host collide on shared memory unless it is disabled."""
    if asks_for_hot_restart(passthrough) or DISABLE in passthrough:
        return ()
    return (DISABLE,)
