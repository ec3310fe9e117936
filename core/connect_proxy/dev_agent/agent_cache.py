"""What the agent's cache would say: ``X-Cache`` and ``Age`` of endpoints that Consul caches.

Nothing is cached here, the state is at hand; but clients see the headers that they know.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class AgentCache:
    """Remembers what was asked before, and since when."""

    _asked: dict[str, float] = field(default_factory=dict)

    def headers(self, key: str) -> dict[str, str]:
        """``MISS`` for the first question about *key*, then ``HIT`` with the seconds since."""
        now = time.monotonic()
        first = self._asked.setdefault(key, now)
        return {"X-Cache": "MISS"} if first == now else {"X-Cache": "HIT", "Age": str(int(now - first))}
