"""What one load found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Values by figure, and what went wrong beside them."""

    values: Mapping[str, float]
    trouble: str = ""
    """Empty, or what the load tool complained of: the figure still stands, with this remark."""
