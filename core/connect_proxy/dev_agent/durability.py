"""When a write counts as kept: the seam behind which a disk may be.

The HTTP API asks before a write whether it can be kept, and waits after it until it is.
:class:`InMemory` is ``-dev``: nothing is kept, nothing is waited for.
"""

from __future__ import annotations

from typing import Protocol


class Durability(Protocol):
    """Decides when a write may be answered."""

    @property
    def lasting(self) -> bool:
        """Whether anything outlasts the agent."""

    async def admit(self, size: int) -> None:
        """Before a write with a body of *size* bytes. Raises ApiError (500) where it could not be kept."""

    async def settle(self) -> None:
        """Until all that is written by now is kept. Raises ApiError (500) where it is not."""


class InMemory:
    """Nothing outlasts the agent."""

    lasting = False

    async def admit(self, size: int) -> None:
        return

    async def settle(self) -> None:
        return
