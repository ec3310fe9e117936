from __future__ import annotations

import logging

import pytest

from connect_proxy_builtin.log_lines import BURST, PERIOD_S, ThinnedLog
from connect_proxy_builtin.messages import Say


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (1, "1 more line of the kind 'denied' was left out"),
        (95, "95 more lines of the kind 'denied' were left out"),
    ],
)
def test_a_flood_of_one_kind_is_thinned_out_and_says_so(
    caplog: pytest.LogCaptureFixture, left_out: int, said: str
) -> None:
    now = 0.0
    lines = ThinnedLog(clock=lambda: now)
    for number in range(BURST + left_out):
        lines.say(Say(level=logging.WARNING, text=f"line {number}", kind="denied"))
    lines.say(Say(level=logging.WARNING, text="of another kind", kind="other"))
    assert len(caplog.records) == BURST + 1
    now = PERIOD_S
    lines.say(Say(level=logging.WARNING, text="later", kind="denied"))
    assert [record.getMessage() for record in caplog.records[-2:]] == [said, "later"]


def test_few_lines_are_all_written(caplog: pytest.LogCaptureFixture) -> None:
    lines = ThinnedLog()
    for number in range(BURST):
        lines.say(Say(level=logging.ERROR, text=f"line {number}", kind="k"))
    assert len(caplog.records) == BURST
    assert all(record.levelno == logging.ERROR for record in caplog.records)
