"""A short soak: `make soak` is the long one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from soak.run import soak

pytestmark = pytest.mark.integration


def test_under_churn_of_everything_nothing_is_lost_and_nothing_is_left(tmp_path: Path) -> None:
    said: list[str] = []
    faults = asyncio.run(soak(tmp_path, seconds=15, callers=4, say=said.append))
    assert not faults, "\n".join(faults + said)
