"""Trouble that lasts is said once."""

import logging

import pytest

from connect_proxy.managed.troubles import Troubles


def test_the_same_trouble_is_said_once_another_one_and_its_return_are_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    troubles = Troubles()
    with caplog.at_level(logging.INFO):
        troubles.over("web", "web is well")
        for text in ("refused", "refused", "away", "refused"):
            troubles.tell("web", text)
        troubles.tell("db", "refused")
        troubles.over("web", "web is well")
        troubles.over("web", "web is well")
        troubles.tell("web", "refused")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "refused"),
        ("WARNING", "away"),
        ("WARNING", "refused"),
        ("WARNING", "refused"),
        ("INFO", "web is well"),
        ("WARNING", "refused"),
    ]
