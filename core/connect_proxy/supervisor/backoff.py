"""The pause before a start: a few free ones, then doubling up to a bound, with jitter.

The figures are those of Consul's managed proxies (1.2-1.5): three free starts, then 2, 4, 8 … 60 s,
forgotten after 10 s of health. There the count could never be reset once a pause had begun; here it can.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait before the n-th start in a row. All times in seconds."""

    free_starts: int = 3
    base_s: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.1
    """Up to this share is taken off the pause, so that many proxies do not start in step."""
    healthy_after_s: float = 10.0
    """Having run this long forgets earlier failures."""

    def __post_init__(self) -> None:
        if self.free_starts < 0 or self.base_s <= 0 or self.cap_s < self.base_s:
            message = f"a back-off needs free_starts >= 0 and 0 < base_s <= cap_s: {self!r}"
            raise ValueError(message)
        if not 0 <= self.jitter <= 1:
            message = f"jitter is a share from 0 to 1, not {self.jitter!r}"
            raise ValueError(message)

    def pause_s(self, start: int, chance: float) -> float:
        """The pause before start number *start* (from 1); *chance* in [0, 1) draws the jitter."""
        beyond = start - self.free_starts
        if beyond <= 0:
            return 0.0
        # 2.0 ** 64 is beyond any cap: the bound keeps the power finite.
        full = min(self.cap_s, self.base_s * 2.0 ** min(beyond - 1, 64))
        return full * (1 - self.jitter * chance)
