"""What was measured in all rounds: medians, ratios, and how they stand to the goals. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bench.figure import FIGURES, Figure
from bench.reading import Reading


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The built-in proxy beside one peer in one figure."""

    ratio: float
    goal: float | None
    missed_by: float
    """How far from the goal, as a part of it: 0.1 is ten percent. 0 where it is met."""

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.missed_by == 0


@dataclass(kw_only=True)
class Result:
    """Values of several rounds by figure and peer."""

    peers: Sequence[str]
    """In the order of the columns."""
    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    troubles: list[str] = field(default_factory=list)

    def add(self, peer: str, reading: Reading, *, wanted: Collection[str]) -> None:
        """One reading of one round."""
        for key, value in reading.values.items():
            if key in wanted:
                self.values[key][peer].append(value)
        if reading.trouble:
            self.troubles.append(f"{peer}, {', '.join(reading.values)}: {reading.trouble}")

    @property
    def figures(self) -> list[Figure]:
        """Those that were measured, in the table's order."""
        return [figure for figure in FIGURES if figure.key in self.values]

    def median(self, figure: Figure, peer: str) -> float:
        """Of all rounds."""
        return statistics.median(self.values[figure.key][peer])

    def verdict(self, figure: Figure, ours: str, peer: str) -> Verdict:
        """The ratio of the medians, beside its goal if there is one."""
        theirs = self.median(figure, peer)
        ratio = self.median(figure, ours) / theirs if theirs else float("inf")
        return verdict(figure, ratio, figure.goals.get(peer))


def verdict(figure: Figure, ratio: float, goal: float | None) -> Verdict:
    """*ratio* beside *goal*; compared as it is printed, with two decimals."""
    if goal is None:
        return Verdict(ratio=ratio, goal=None, missed_by=0)
    shown = round(ratio, 2)
    short = goal - shown if figure.more_is_better else shown - goal
    return Verdict(ratio=ratio, goal=goal, missed_by=max(0.0, short / goal))
