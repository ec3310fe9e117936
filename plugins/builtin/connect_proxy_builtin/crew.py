"""What the workers of one proxy have in common: a limit is one for all of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from connect_proxy_builtin.worker_state import WorkerState


@dataclass(kw_only=True)
class Crew:
    """Every worker's state. Others' figures are read, never written."""

    worlds: list[WorkerState] = field(default_factory=list)
    admission: threading.Lock = field(default_factory=threading.Lock)
    """Held from looking at a limit until the connection counts: two workers may not take one place."""

    def inbound_open(self) -> int:
        """Callers' connections that are open."""
        return sum(world.counters["inbound_open"] for world in self.worlds)

    def outbound_open(self, upstream_id: str) -> int:
        """Connections of one upstream that are open."""
        states = (world.upstreams.get(upstream_id) for world in self.worlds)
        return sum(state.open for state in states if state is not None)
