"""Which instance to dial next: pure decisions, time and chance are handed in.

The less loaded of two at random (Mitzenmacher's two choices), load = open connections per weight.
For a prepared query the order of Consul's answer is a preference: the first that can be used.
An instance that failed is avoided for a while, longer with each failure in a row; if all are
avoided, the one that is free again soonest is tried all the same.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from connect_proxy_builtin.policy import Target

AVOID_FIRST_S: Final = 1.0
AVOID_LONGEST_S: Final = 30.0


@dataclass(slots=True, eq=False)
class Instance:
    """What is known of one target in this worker."""

    target: Target
    open: int = 0
    failures: int = 0
    """In a row."""
    avoid_until: float = 0.0

    @property
    def load(self) -> float:
        """Connections per weight."""
        return self.open / self.target.weight


class Balancer:
    """The instances of one upstream."""

    def __init__(self, *, chance: random.Random | None = None) -> None:
        self._instances: dict[tuple[str, int], Instance] = {}
        self._prefer_order = False
        self._chance = chance or random.Random()  # noqa: S311 - load balancing, no secret

    def use(self, targets: Collection[Target], *, prefer_order: bool) -> None:
        """From now on these; what is known of those that stay is kept."""
        before = self._instances
        self._instances = {}
        for target in targets:
            key = (target.address, target.port)
            instance = before.get(key) or Instance(target=target)
            instance.target = target
            self._instances[key] = instance
        self._prefer_order = prefer_order

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All, in the order they came in."""
        return tuple(self._instances.values())

    def choose(self, *, now: float, tried: Collection[Instance] = ()) -> Instance | None:
        """The one to dial; None if there is none that was not *tried*."""
        left = [instance for instance in self._instances.values() if instance not in tried]
        usable = [instance for instance in left if instance.avoid_until <= now]
        if not usable:
            return min(left, key=lambda instance: instance.avoid_until, default=None)
        if self._prefer_order or len(usable) == 1:
            return usable[0]
        return min(self._chance.sample(usable, 2), key=lambda instance: instance.load)

    @staticmethod
    def succeeded(instance: Instance) -> None:
        """It answered and proved itself."""
        instance.failures = 0
        instance.avoid_until = 0.0

    @staticmethod
    def failed(instance: Instance, *, now: float) -> None:
        """It did not: avoid it for 1, 2, 4 … 30 seconds."""
        pause = min(AVOID_LONGEST_S, AVOID_FIRST_S * 2 ** min(instance.failures, 10))
        instance.failures += 1
        instance.avoid_until = now + pause
