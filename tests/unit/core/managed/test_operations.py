"""What operators ask of a running agent."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from connect_proxy.consul.access import AgentAccess
from connect_proxy.errors import DataDirectoryError
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.member import Member
from connect_proxy.managed.operations import Operations
from connect_proxy.managed.state_file import ProxyRecord
from connect_proxy.supervisor.control_socket import ControlServer
from support.managed_definitions import managed_proxy


class Shrinking:
    """A fleet of which one proxy goes while another one is asked for its status."""

    def __init__(self, folder: Path) -> None:
        self.members = {name: member(name) for name in ("db-proxy", "web-proxy")}
        self._door = folder / "door.sock"
        self.server = ControlServer(self._door, {"status": self._answer})

    def door(self, proxy_id: str) -> Path | None:
        return self._door if proxy_id == "db-proxy" else None

    async def _answer(self, _request: Mapping[str, Any]) -> Mapping[str, Any]:
        del self.members["web-proxy"]
        return {"certificate_expiry": "2030-01-01T00:00:00Z"}


def member(proxy_id: str) -> Member:
    service = proxy_id.removesuffix("-proxy")
    proxy = managed_proxy(service)
    record = ProxyRecord(id=proxy_id, service_id=service, service_name=service, backend="builtin")
    return Member(assignment=Assignment(proxy=proxy, port=1, access=AgentAccess()), record=record)


def test_a_proxy_that_goes_while_the_status_is_asked_for_is_in_it_still(tmp_path: Path) -> None:
    fleet = Shrinking(tmp_path)
    operations = Operations(
        cast("Fleet", fleet),
        reload=nothing,
        files=tuple[str, ...],
        before_start=nothing,
        levels=cast("Any", None),
    )

    async def go() -> Any:
        await fleet.server.start()
        try:
            return await operations.verbs()["status"]({})
        finally:
            await fleet.server.stop()

    rows = asyncio.run(go())["proxies"]
    assert [(row["id"], row["certificate_expiry"]) for row in rows] == [
        ("db-proxy", "2030-01-01T00:00:00Z"),
        ("web-proxy", None),
    ]
    assert list(fleet.members) == ["db-proxy"]


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
