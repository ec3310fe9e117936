"""What operators ask of a running agent."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from connect_proxy.errors import DataDirectoryError
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.operations import Operations


class FullDisk:
    """A fleet whose stops of ``web-proxy`` cannot be written down."""

    def __init__(self) -> None:
        self.members = dict.fromkeys(("db-proxy", "web-proxy"))
        self.stopped: list[str] = []

    async def stop(self, proxy_id: str) -> None:
        self.stopped.append(proxy_id)
        if proxy_id == "web-proxy":
            message = f"'{proxy_id}' is stopped, but"
            raise DataDirectoryError(message)


async def nothing(_what: object) -> list[str]:
    return []


def test_a_stop_that_is_not_written_down_is_done_with_a_problem() -> None:
    fleet = FullDisk()
    operations = Operations(
        cast("Fleet", fleet),
        reload=nothing,
        files=tuple[str, ...],
        before_start=nothing,
        levels=cast("Any", None),
    )

    async def go() -> dict[str, Sequence[str]]:
        answer: dict[str, Sequence[str]] = await operations.verbs()["stop"]({"all": True})
        return answer

    assert asyncio.run(go()) == {
        "done": ["db-proxy", "web-proxy"],
        "problems": ["'web-proxy' is stopped, but"],
    }
    assert fleet.stopped == ["db-proxy", "web-proxy"]
