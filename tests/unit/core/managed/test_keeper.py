"""What the one who keeps a proxy running asks of the process that is to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import ControlError, UsageError
from connect_proxy.managed import keeper
from connect_proxy.supervisor.control_socket import ControlServer


class Door:
    """A proxy's control socket that says nothing to its first *silent* questions."""

    def __init__(self, silent: int = 0, error: str = "") -> None:
        self.asked = 0
        self._silent, self._error = silent, error

    async def answer(self, _request: Mapping[str, Any]) -> list[str]:
        self.asked += 1
        if self.asked <= self._silent:
            await asyncio.Event().wait()
        if self._error:
            raise UsageError(self._error)
        return ["127.0.0.1:1"]

    def asked_to_share(self, folder: Path) -> list[str]:
        async def ask() -> list[str]:
            server = ControlServer(folder / "door.sock", {"share-ports": self.answer})
            await server.start()
            try:
                return await keeper.asked_to_share(folder / "door.sock")
            finally:
                await server.stop()

        return asyncio.run(ask())


@pytest.fixture(autouse=True)
def _short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "DOOR_TIMEOUT_S", 0.2)


def test_one_that_does_not_answer_in_time_is_asked_again(tmp_path: Path) -> None:
    door = Door(silent=2)
    assert door.asked_to_share(tmp_path) == ["127.0.0.1:1"]
    assert door.asked == 3


def test_one_that_never_answers_is_given_up(tmp_path: Path) -> None:
    door = Door(silent=100)
    with pytest.raises(ControlError, match="no answer in time"):
        door.asked_to_share(tmp_path)
    assert door.asked == keeper.SHARE_ATTEMPTS


def test_one_that_refuses_is_not_asked_again(tmp_path: Path) -> None:
    door = Door(error="it listens on a unix socket")
    with pytest.raises(ControlError, match="unix socket"):
        door.asked_to_share(tmp_path)
    assert door.asked == 1
