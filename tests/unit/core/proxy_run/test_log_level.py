"""How much a proxy logs, as it was ordered."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from connect_proxy.errors import ProxyControlError, UsageError
from connect_proxy.plugin_api import Supervision
from connect_proxy.proxy_run.log_level import VARIABLE, LogLevel


@pytest.fixture(autouse=True)
def root_level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


class DataPlane:
    """What it was told, in order."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told: list[str] = []
        self.fails = fails

    async def _set(self, level: str) -> None:
        if self.fails:
            message = "the admin API does not answer"
            raise ProxyControlError(message)
        self.told.append(level)

    def supervision(self) -> Supervision:
        return Supervision(set_log_level=self._set)


def test_an_order_reaches_connect_proxy_and_the_data_plane_and_is_repeated_at_its_next_start() -> None:
    plane = DataPlane()

    async def life() -> None:
        level = LogLevel({}, plane.supervision)
        await level.repeat()
        assert plane.told == []
        await level.order("ERR")
        await level.repeat()

    asyncio.run(life())
    assert plane.told == ["ERROR", "ERROR"]
    assert logging.getLogger().level == logging.ERROR


def test_what_the_agent_ordered_with_the_start_is_told_once_it_is_up() -> None:
    plane = DataPlane()

    async def life() -> None:
        level = LogLevel({VARIABLE: "DEBUG"}, plane.supervision)
        await level.repeat()
        await level.order("INFO")
        await level.repeat()

    asyncio.run(life())
    assert plane.told == ["DEBUG", "INFO", "INFO"]


def test_a_data_plane_without_a_level_of_its_own_needs_none() -> None:
    asyncio.run(LogLevel({VARIABLE: "DEBUG"}, lambda: None).repeat())
    asyncio.run(LogLevel({}, Supervision).order("DEBUG"))
    assert logging.getLogger().level == logging.DEBUG


def test_a_failure_is_the_askers_and_at_a_start_only_said(caplog: pytest.LogCaptureFixture) -> None:
    plane = DataPlane(fails=True)
    with pytest.raises(ProxyControlError, match="does not answer"):
        asyncio.run(LogLevel({}, plane.supervision).order("DEBUG"))
    asyncio.run(LogLevel({VARIABLE: "DEBUG"}, plane.supervision).repeat())
    assert "the data plane's log level is not DEBUG: the admin API does not answer" in caplog.text


def test_a_data_plane_that_is_not_up_yet_is_told_once_it_is() -> None:
    plane = DataPlane(fails=True)

    async def life() -> None:
        is_up = False
        level = LogLevel({VARIABLE: "INFO"}, plane.supervision, is_up=lambda: is_up)
        await level.order("DEBUG")
        plane.fails, is_up = False, True
        await level.repeat()

    asyncio.run(life())
    assert plane.told == ["DEBUG"]


def test_an_order_that_changes_nothing_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def life() -> None:
        level = LogLevel({VARIABLE: "INFO"}, lambda: None)
        for order in ("INFO", "DEBUG", "DEBUG", "INFO"):
            await level.order(order)

    asyncio.run(life())
    assert [record.getMessage() for record in caplog.records] == [
        "the log level is DEBUG now",
        "the log level is INFO now",
    ]


def test_what_is_no_level_is_named_with_the_levels_there_are() -> None:
    with pytest.raises(UsageError, match='"LOUD" is no log level; use one of TRACE'):
        asyncio.run(LogLevel({}, lambda: None).order("LOUD"))
