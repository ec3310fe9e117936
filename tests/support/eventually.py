"""Waiting inside an event loop for something that a test cannot be told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""Far above what anything takes: only what is broken gets to it."""


async def eventually(condition: Callable[[], T], what: str, *, deadline_s: float = DEADLINE_S) -> T:
    """What *condition* gives once that is true. Fails naming *what* was waited for."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (found := condition()):  # noqa: ASYNC110 - the condition is anything, not an event
                await asyncio.sleep(0.002)
            return found
    except TimeoutError:
        message = f"waited {deadline_s:g} s in vain for {what} (last: {condition()!r})"
        raise AssertionError(message) from None
