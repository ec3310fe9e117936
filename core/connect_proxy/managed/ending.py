"""Ending a process that is not supervised: ask, wait, kill."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from connect_proxy.supervisor.adopted import AdoptedProcess

STOP_TIMEOUT_S: Final = 15.0
"""A proxy drains by itself after SIGTERM; this is above its own bound."""


async def end_process(process: AdoptedProcess) -> None:
    """SIGTERM, and SIGKILL for what is still there after the time for it."""
    process.signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill_group()
        await process.wait()
    finally:
        process.close()
