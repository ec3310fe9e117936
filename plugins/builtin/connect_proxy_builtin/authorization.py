"""Consul's decisions on callers, as far as they are known. Pure.

A *round* begins whenever the intentions changed, or may have: decisions of older rounds do not
answer new questions any more. They stand only while Consul cannot be asked.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from connect_proxy.consul.client import Authorization

KEEP: Final = 8192
"""Sources whose last decision is remembered."""


@dataclass(slots=True)
class _Entry:
    serial: str
    decision: Authorization | None = None
    decided_in: int = 0
    asking: bool = False


class DecisionBook:
    """What is known of each source, by its SPIFFE URI."""

    def __init__(self) -> None:
        self.round = 1
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def begin_round(self) -> None:
        """The intentions changed."""
        self.round += 1

    def in_force(self, source: str) -> Authorization | None:
        """The decision of this round, if there is one."""
        entry = self._entries.get(source)
        return entry.decision if entry is not None and entry.decided_in == self.round else None

    def last_known(self, source: str) -> Authorization | None:
        """The newest decision of any round: what stands while Consul is away."""
        entry = self._entries.get(source)
        return entry.decision if entry is not None else None

    def begin_asking(self, source: str, serial: str) -> bool:
        """Whether the caller has to ask Consul now; False while somebody is asking already."""
        entry = self._entries.setdefault(source, _Entry(serial=serial))
        self._entries.move_to_end(source)
        if entry.asking:
            return False
        entry.asking = True
        self._forget_oldest()
        return True

    def answered(self, source: str, *, asked_in: int, decision: Authorization) -> bool:
        """Keep an answer; False if the intentions changed since it was asked for: ask again."""
        entry = self._entries[source]
        entry.decision, entry.decided_in = decision, asked_in
        return asked_in == self.round

    def end_asking(self, source: str) -> None:
        """The question is settled, or given up."""
        self._entries[source].asking = False

    def _forget_oldest(self) -> None:
        while len(self._entries) > KEEP:
            oldest = next((uri for uri, entry in self._entries.items() if not entry.asking), None)
            if oldest is None:
                return
            del self._entries[oldest]
