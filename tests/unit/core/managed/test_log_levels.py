"""Orders of a log level reach a proxy whenever they come, told by its own log."""

import asyncio
import dataclasses
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.errors import ControlError
from connect_proxy.managed.assignment import Assignment, inherited
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.log_levels import LogLevels
from connect_proxy.managed.state_file import DataDirectory
from connect_proxy.supervisor.control_socket import ControlServer, Handler
from support.consul_answers import leaf
from support.eventually import eventually
from support.managed_definitions import managed_proxy
from support.ports import free_port
from support.scripted_agent import ScriptedAgent, Silence

PROXY_ID = "web-proxy"
REGISTRATION = {
    "Kind": "connect-proxy",
    "ID": PROXY_ID,
    "Service": PROXY_ID,
    "Port": 0,
    "Proxy": {"DestinationServiceName": "web", "DestinationServiceID": "web", "Upstreams": []},
}


@dataclass
class Host:
    """A fleet of one built-in proxy, which waits until Consul has its registration."""

    consul: ScriptedAgent
    directory: DataDirectory
    port: int = field(default_factory=free_port)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As an agent does."""
        self.fleet = Fleet(self.directory)
        self.levels = LogLevels(self.fleet, keep=self._keep)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def apply(self, level: str = "INFO", *command: str) -> None:
        assignment = Assignment(
            proxy=managed_proxy(command=command),
            port=self.port,
            access=self.consul.access(),
            log_level=level,
            environment=inherited(os.environ),
        )
        await self.fleet.apply([assignment])
        await eventually(lambda: self.pid, "its process")

    @property
    def pid(self) -> int:
        supervisor = self.fleet.members[PROXY_ID].supervisor
        return (supervisor.pid or 0) if supervisor else 0

    def register(self) -> None:
        """It goes on to open its control socket."""
        self.consul.put(f"/v1/agent/service/{PROXY_ID}", REGISTRATION, by_hash=True)

    @property
    def said(self) -> list[str]:
        """The levels that it has taken while it ran, in order."""
        log = (self.directory.logs_path / f"{PROXY_ID}-stderr.log").read_text()
        return [
            line.rpartition(" is ")[2].split()[0] for line in log.splitlines() if "log level is" in line
        ]

    def level_it_starts_with(self) -> str:
        """On its command line, once it has one of its own."""
        words = Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")
        return words[words.index("-log-level") + 1] if "-log-level" in words else ""


@asynccontextmanager
async def a_host(folder: Path) -> AsyncIterator[Host]:
    directory = DataDirectory(path=folder)
    directory.lock()
    async with ScriptedAgent() as consul:
        consul.put("/v1/agent/services", {})
        consul.put("/v1/agent/self", {"Config": {"Version": "1.8.7"}, "Member": {"Addr": "127.0.0.1"}})
        consul.put("/v1/agent/connect/ca/leaf/web", leaf("web"))
        for path in ("agent/connect/ca/roots", "connect/intentions"):
            consul.always(f"/v1/{path}", Silence())
        host = Host(consul, directory)
        try:
            yield host
        finally:
            await host.fleet.stop_all()
            for task in host.tasks:
                task.cancel()
            failures = await asyncio.gather(*host.tasks, return_exceptions=True)
            directory.unlock()
    assert [one for one in failures if isinstance(one, Exception)] == []


@asynccontextmanager
async def listening(door: Path, answer: Handler) -> AsyncIterator[None]:
    """This process on the proxy's control socket."""
    server = ControlServer(door, {"set-log-level": answer})
    await server.start()
    try:
        yield
    finally:
        await server.stop()


def on_a_host(folder: Path, use: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        async with a_host(folder / "d") as host:
            await use(host)

    asyncio.run(go())


def test_an_order_to_a_proxy_that_starts_is_taken_once_it_listens(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        await host.apply()
        for level in ("TRACE", "DEBUG"):
            assert await host.levels.order(PROXY_ID, level) == f"{PROXY_ID}: {level} as soon as it is up"
        host.register()
        await eventually(lambda: host.said == ["DEBUG"], "the last order")
        assert await host.levels.order(PROXY_ID, "INFO") == f"{PROXY_ID}: INFO"
        assert host.said == ["DEBUG", "INFO"]

    on_a_host(tmp_path, use)


def test_one_that_dies_before_it_listened_has_the_order_at_its_next_start(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        await host.apply()
        dead = host.pid
        assert "as soon as it is up" in await host.levels.order(PROXY_ID, "DEBUG")
        os.kill(dead, signal.SIGKILL)
        await eventually(lambda: host.pid not in {0, dead}, "its successor")
        assert await eventually(host.level_it_starts_with, "its command line") == "DEBUG"
        await eventually(lambda: all(task.done() for task in host.tasks), "nobody to be told")

    on_a_host(tmp_path, use)


def test_an_order_to_a_proxy_that_is_held_counts_from_its_next_start(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        await host.apply()
        await host.fleet.stop(PROXY_ID)
        said = await host.levels.order(PROXY_ID, "DEBUG")
        assert said == f"{PROXY_ID}: DEBUG from its next start"
        host.fleet.start(PROXY_ID)
        await eventually(lambda: host.pid, "its start")
        assert await eventually(host.level_it_starts_with, "its command line") == "DEBUG"

    on_a_host(tmp_path, use)


@pytest.mark.parametrize(("ordered", "taken"), [("", ["DEBUG"]), ("TRACE", ["TRACE"])])
def test_what_is_adopted_follows_the_configuration_unless_an_order_stands(
    tmp_path: Path, ordered: str, taken: list[str]
) -> None:
    async def use(host: Host) -> None:
        await host.apply()
        pid = host.pid
        if ordered:
            await host.levels.order(PROXY_ID, ordered)
        left = host.directory.read()
        await host.fleet.leave()
        for task in host.tasks:  # that agent is gone, the order not carried out
            task.cancel()
        host.begin()
        await host.apply("DEBUG")
        assert host.pid == pid
        host.levels.tell_adopted(left)
        host.register()
        await eventually(lambda: host.said == taken, "the level after the adoption")

    on_a_host(tmp_path, use)


def test_another_configured_level_is_followed_by_those_that_start_too_and_ends_orders(
    tmp_path: Path,
) -> None:
    async def use(host: Host) -> None:
        await host.apply()
        await host.levels.order(PROXY_ID, "TRACE")
        await host.apply("DEBUG")
        await host.levels.follow()
        host.register()
        await eventually(lambda: host.said == ["DEBUG"], "the configured level")
        await host.apply("WARN")
        await host.levels.follow()
        assert host.fleet.members[PROXY_ID].record.log_level == ""
        assert await host.levels.order(PROXY_ID, "DEBUG") == f"{PROXY_ID}: DEBUG"
        assert host.said[-1] == "DEBUG"

    on_a_host(tmp_path, use)


def test_a_socket_of_another_process_is_not_taken_for_the_proxys_own(tmp_path: Path) -> None:
    """The process before it may still listen there."""
    told: list[str] = []

    async def take(request: Any) -> Any:
        told.append(request["level"])

    async def use(host: Host) -> None:
        await host.apply()
        door = host.fleet.door(PROXY_ID)
        assert door is not None
        async with listening(door, take):
            assert "as soon as it is up" in await host.levels.order(PROXY_ID, "DEBUG")
            assert set(told) == {"DEBUG"}
            host.register()
            await eventually(lambda: host.said == ["DEBUG"], "its own")

    on_a_host(tmp_path, use)


def test_a_refusal_is_an_error_and_the_order_counts_from_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_request: Any) -> Any:
        message = "not today"
        raise ControlError(message)

    async def use(host: Host) -> None:
        await host.apply()
        door = host.fleet.door(PROXY_ID)
        assert door is not None
        async with listening(door, refuse):
            with pytest.raises(ControlError, match="logs at DEBUG from its next start only: not today"):
                await host.levels.order(PROXY_ID, "DEBUG")
            await host.levels.follow()
            host.levels.tell_later([PROXY_ID])
            await asyncio.gather(*host.tasks)

    on_a_host(tmp_path, use)
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert sum("from its next start only: not today" in record.getMessage() for record in warned) == 2


def test_a_commands_log_level_is_its_own_affair(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        await host.apply("INFO", "sleep", "600")
        with pytest.raises(ControlError, match="runs a command of its own"):
            await host.levels.order(PROXY_ID, "DEBUG")
        member = host.fleet.members[PROXY_ID]
        member.record = dataclasses.replace(member.record, log_level="DEBUG")
        await host.levels.follow()
        host.levels.tell_later([PROXY_ID])
        assert (member.record.log_level, host.tasks) == ("", [])

    on_a_host(tmp_path, use)
