"""Callers call while everything that an operator can change changes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from soak.mesh import Mesh, passes
from soak.streams import Tally, Weather, keep_calling

SETTLE_S: Final = 90.0
TURNS: Final = 8
"""Kinds of changes."""
TURN_S: Final = 0.3
ROTATE_EVERY_S: Final = 15.0
"""So that roots, which stay by right, do not hide what stays by mistake."""


@dataclass
class Churn:
    """What was changed and called so far."""

    mesh: Mesh
    callers: int
    tally: Tally = field(default_factory=Tally)
    rounds: int = 0
    """Changes."""
    rotations: int = 0
    """New roots; the old ones are still trusted."""
    _weather: Weather = field(default_factory=Weather)
    _rotated_at: float = 0.0

    async def run(self, seconds: float, *, seed: int) -> None:
        """So long, and until everything was changed once; the first rotation comes with its first turn."""
        self._rotated_at = -ROTATE_EVERY_S
        stop = asyncio.Event()
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.callers):
                group.create_task(
                    keep_calling(self.mesh.port, self._weather, self.tally, stop, seed=seed + number)
                )
            chance = random.Random(seed)
            while time.monotonic() < end or self.rounds < TURNS:
                await self._change(chance)
                self.rounds += 1
                await asyncio.sleep(TURN_S)
            stop.set()

    async def _change(self, chance: random.Random) -> None:
        """The next thing that an operator does, in turn."""
        mesh, turn = self.mesh, self.rounds % TURNS
        if turn == 0:
            await asyncio.to_thread(mesh.add_dead_instance, 2)
        elif turn == 2:
            await asyncio.to_thread(mesh.change_other_intention, chance)
        elif turn == 3:
            await asyncio.to_thread(mesh.change_upstreams, more=True)
        elif turn == 4 and time.monotonic() - self._rotated_at > ROTATE_EVERY_S:
            await asyncio.to_thread(mesh.rotate)
            self._rotated_at = time.monotonic()
            self.rotations += 1
        elif turn == 5:
            await asyncio.to_thread(mesh.remove_instance, 2)
        elif turn == 6:
            await self._forbid_for_a_moment()
        elif turn == 7:
            await asyncio.to_thread(mesh.change_upstreams, more=False)

    async def _forbid_for_a_moment(self) -> None:
        self._weather.forbid()
        await asyncio.to_thread(self.mesh.deny)
        await until(lambda: not passes(self.mesh.port), "the refusal")
        await asyncio.to_thread(self.mesh.allow)
        await until(lambda: passes(self.mesh.port), "the way through again")
        self._weather.allow()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Ask until it holds. Raises TimeoutError."""
    try:
        async with asyncio.timeout(SETTLE_S):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - programs, not events
                await asyncio.sleep(0.05)
    except TimeoutError as exc:
        message = f"{SETTLE_S:g} s in vain for {what}"
        raise TimeoutError(message) from exc
