"""The result as a Markdown table. Pure."""

from __future__ import annotations

from bench.figure import Figure
from bench.result import Result, Verdict

OURS = "builtin"


def table(result: Result) -> str:
    """A row for each figure: every peer's median, then our ratio to each of the others."""
    others = [peer for peer in result.peers if peer != OURS and OURS in result.peers]
    heads = ["figure", *result.peers, *(f"{OURS} / {peer}" for peer in others)]
    rows = [heads, ["---"] * len(heads), *(_row(result, figure, others) for figure in result.figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result, figure: Figure, others: list[str]) -> list[str]:
    medians = [f"{result.median(figure, peer):,.{figure.digits}f}" for peer in result.peers]
    ratios = [judged(figure, result.verdict(figure, OURS, peer)) for peer in others]
    return [figure.title, *medians, *ratios]


def judged(figure: Figure, verdict: Verdict) -> str:
    """``1.31 (≥ 1.3 met)``, or by how much it is missed."""
    ratio = f"{verdict.ratio:.2f}"
    if verdict.goal is None:
        return ratio
    goal = f"{'≥' if figure.more_is_better else '≤'} {verdict.goal:g}"
    if verdict.met:
        return f"{ratio} ({goal} met)"
    return f"**{ratio}** ({goal} missed by {verdict.missed_by:.0%})"
