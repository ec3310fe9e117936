"""A running proxy answers who started it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import ControlError
from connect_proxy.proxy_run.control_door import VARIABLE, control_door
from connect_proxy.supervisor.control_socket import ask_at

told: list[str] = []


async def state() -> Mapping[str, Any]:
    return {"certificate_expiry": "2026-01-01T00:00:00+00:00"}


async def set_level(level: str) -> None:
    told.append(level)


async def share(share: bool) -> list[str]:
    told.append(f"share {share}")
    return ["127.0.0.1:21000"]


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    told.clear()


def test_it_tells_its_state_and_takes_a_log_level(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"

    async def life() -> None:
        async with control_door(
            {VARIABLE: str(path)}, state=state, set_log_level=set_level, share_ports=share
        ):
            assert await ask_at(path, "status", timeout_s=60) == await state()
            assert await ask_at(path, "set-log-level", timeout_s=60, level="ERR") == "ERR"
        assert not path.exists()

    asyncio.run(life())
    assert told == ["ERR"]


def test_it_shares_its_ports_and_takes_them_back(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"

    async def life() -> None:
        async with control_door(
            {VARIABLE: str(path)}, state=state, set_log_level=set_level, share_ports=share
        ):
            assert await ask_at(path, "share-ports", timeout_s=60) == ["127.0.0.1:21000"]
            await ask_at(path, "share-ports", timeout_s=60, share=False)

    asyncio.run(life())
    assert told == ["share True", "share False"]


def test_logs_that_a_child_writes_cannot_be_reopened(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"

    async def life() -> None:
        door = control_door(
            {VARIABLE: str(path)},
            state=state,
            set_log_level=set_level,
            share_ports=share,
            writes_its_own_logs=False,
        )
        async with door:
            with pytest.raises(ControlError, match="cannot be reopened"):
                await ask_at(path, "reopen-logs", timeout_s=60, stdout="/x", stderr="/x")

    asyncio.run(life())


def test_without_the_variable_there_is_none_and_one_that_cannot_be_opened_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def life() -> None:
        async with control_door({}, state=state, set_log_level=set_level, share_ports=share):
            pass
        missing = str(tmp_path / "missing" / "web.sock")
        async with control_door(
            {VARIABLE: missing}, state=state, set_log_level=set_level, share_ports=share
        ):
            pass
        async with control_door(
            {VARIABLE: "/" + "x" * 200}, state=state, set_log_level=set_level, share_ports=share
        ):
            pass

    asyncio.run(life())
    assert [record.getMessage().split(":")[0].split(" at ")[0] for record in caplog.records] == [
        "no control socket",
        "no control socket",
    ]
