"""The agent of managed proxies: files, Consul, fleet and operators put together."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import ASGIApp

from connect_proxy.consul.client import connect_consul
from connect_proxy.errors import ConnectProxyError, DataDirectoryError
from connect_proxy.managed.api.agent_api import AgentApi
from connect_proxy.managed.api.listener import listening, reached_at
from connect_proxy.managed.api.registration import ApiRegistration
from connect_proxy.managed.api.services import ApiServices
from connect_proxy.managed.assigning import Assigner, placed
from connect_proxy.managed.control import ControlServer, socket_path
from connect_proxy.managed.definitions.configuration import AgentConfiguration
from connect_proxy.managed.definitions.loading import load_configuration, say_warnings
from connect_proxy.managed.difference import Difference, expected, level_lines, reload_lines
from connect_proxy.managed.doors import doors_of
from connect_proxy.managed.fleet import Fleet
from connect_proxy.managed.log_levels import LogLevels
from connect_proxy.managed.logs.rotation import rotate_due
from connect_proxy.managed.lost_tokens import LostTokens
from connect_proxy.managed.operations import Operations
from connect_proxy.managed.options import ManagedAgentOptions
from connect_proxy.managed.registrar import Registrar
from connect_proxy.managed.registrations import wanted_registrations
from connect_proxy.managed.state_file import NO_RECORDS

log = logging.getLogger("connect_proxy.managed")

ROTATION_PERIOD_S = 60.0
SETTLE_PERIOD_S = 3.0


class ManagedAgent:
    """Runs what the files say until it is stopped."""

    def __init__(self, options: ManagedAgentOptions) -> None:
        self._options = options
        self._directory = options.directory
        self._client = connect_consul(options.access)
        doors = doors_of(options.directory, options.control_folder)
        self._fleet = Fleet(options.directory, doors=doors, on_token=self._publish)
        self._registrar = Registrar(
            self._client,
            remembered=options.directory.registered() if options.directory else (),
            remember=self._remember,
            on_withdrawn=self._withdrawn,
            on_recovered=self._recovered,
        )
        self._assigner = Assigner(options, self._client, self._fleet, self._registrar)
        self._lost_tokens = LostTokens(self._assigner.tokens, self._fleet, replace=self._replace_tokens)
        self._configuration = AgentConfiguration()
        self._api_services = ApiServices(options.directory)
        self._api = AgentApi(
            access=options.access,
            registrar=self._registrar,
            registration=ApiRegistration(
                self._api_services,
                configuration=lambda: self._configuration,
                rehearse=lambda configuration: self._assigner.assign(configuration, dry_run=True),
                apply=lambda: self._apply(self._configuration),
            ),
        )
        self._levels = LogLevels(self._fleet, keep=self._keep)
        self._operations = Operations(
            self._fleet,
            self._levels,
            reload=lambda dry_run: self._reload(dry_run=dry_run),
            files=lambda: self._configuration.files,
            before_start=self._lost_tokens.renew,
        )
        self._listener: socket.socket | None = None
        self._control: ControlServer | None = None
        self._applying = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def over(self, app: ASGIApp) -> ASGIApp:
        """The agent's API in front of *app*, the embedded agent's."""
        return self._api.over(app)

    @property
    def fleet(self) -> Fleet:
        """The proxies."""
        return self._fleet

    # ------------------------------------------------------------ life

    async def run(self, announce: Callable[[str], None]) -> None:
        """Serve until TERM or INT. *announce* is told the API's address once all is up."""
        self._configuration = load_configuration(self._options.paths)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._keep(self._reload_by_signal()))
        try:
            if await self._started(stop):
                address = self._assigner.api_access.url.split("://", 1)[1]
                announce(address)
                self._announce_readiness()
                if interval_s := self._options.manager.watchdog_interval_s:
                    self._keep(self._show_life(interval_s))
                await stop.wait()
        finally:
            self._options.manager.stopping()
            await self._stop()

    async def _started(self, stop: asyncio.Event) -> bool:
        """Start; False if *stop* was set first: a Consul that hangs can make a start long."""
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                return True
            log.warning("told to end before all was up; what runs already runs on")
            return False
        finally:
            starting.cancel()
            stopped.cancel()
            await asyncio.wait({starting, stopped})

    async def _start(self) -> None:
        if self._options.api_address is None:
            self._assigner.api_access = self._options.access
        else:
            self._listener = listening(*self._options.api_address)
            self._assigner.api_access = reached_at(*self._listener.getsockname()[:2])
            await self._api.start(self._listener)
        folder = self._directory.path if self._directory else self._options.control_folder
        if folder is not None:
            self._control = ControlServer(socket_path(folder), self._operations.verbs())
            await self._control.start()
        if self._directory is not None:
            self._keep(self._rotate_logs())
        say_warnings(self._configuration)
        left = self._directory.read() if self._directory else NO_RECORDS
        await self._apply(self._configuration)
        self._levels.tell_adopted(left)
        self._keep(self._registrar.keep())
        self._keep(self._settle())

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._control is not None:
            await self._control.stop()
        if self._directory is not None:
            await self._fleet.leave()
        else:
            await self._fleet.stop_all()
            await self._registrar.apply(AgentConfiguration(), ())
        await self._api.stop()
        await self._client.aclose()

    # ------------------------------------------------------------ what is wanted

    async def _apply(self, configuration: AgentConfiguration) -> Difference:
        """Make what the files say true: registrations first, so that a proxy finds its own."""
        async with self._applying:
            self._api_services.forget_defined(configuration)
            whole = self._api_services.over(configuration)
            assignments = await self._assigner.assign(whole)
            await self._assigner.register(whole, assignments)
            self._configuration = configuration
            plan = await self._fleet.apply(assignments)
            self._publish()
            await self._assigner.delete_tokens()
            return plan

    async def _reload(self, *, dry_run: bool = False) -> list[str]:
        """Read the files again and apply the difference. A broken file changes nothing."""
        configuration = load_configuration(self._options.paths)
        before, level = self._registrar.wanted, self._level_of(configuration)
        if dry_run:
            whole = self._api_services.over(configuration)
            assignments = await self._assigner.assign(whole, dry_run=True)
            after = wanted_registrations(whole, placed(assignments))
            lines = reload_lines(self._fleet.plan(assignments), before.values(), after)
            return [*level_lines(self._assigner.log_level, level), *lines]
        self._options.manager.reloading()
        try:
            say_warnings(configuration)
            self._assigner.withdrawn.clear()
            self._assigner.made_tokens.retry()
            said = level_lines(self._assigner.log_level, level)
            self._assigner.log_level = level
            plan = await self._apply(configuration)
            if said:
                self._options.set_level(level)
                await self._levels.follow()
            lines = (*said, *reload_lines(plan, before.values(), self._registrar.wanted.values()))
        finally:
            self._announce_readiness()
        for line in lines or ("nothing changed",):
            log.info("reload: %s", line)
        return list(lines)

    def _level_of(self, configuration: AgentConfiguration) -> str:
        level_of = self._options.level_of
        return level_of(configuration) if level_of else self._assigner.log_level

    async def _reload_by_signal(self) -> None:
        try:
            await self._reload()
        except ConnectProxyError as exc:
            log.error("what runs stays as it is: %s", exc)

    async def preview(self) -> list[str]:
        """What a start would do to what the last agent on this data directory left; does nothing."""
        configuration = self._api_services.over(load_configuration(self._options.paths))
        if self._options.api_address is not None:
            self._assigner.api_access = reached_at(*self._options.api_address)
        try:
            assignments = await self._assigner.assign(configuration, dry_run=True)
        finally:
            await self._client.aclose()
        records = self._directory.read() if self._directory else {}
        return list(expected(records, assignments).lines())

    def _announce_readiness(self) -> None:
        count = len(self._fleet.members)
        self._options.manager.ready(f"{count} managed prox{'y' if count == 1 else 'ies'}")

    async def _show_life(self, interval_s: float) -> None:
        """Tell the service manager's watchdog that this event loop turns."""
        while True:
            self._options.manager.alive()
            await asyncio.sleep(interval_s)

    def _withdrawn(self, service_id: str) -> None:
        """Deregistered on our own API: its proxy goes; that of a file comes back at the next reload."""
        if any(service.id == service_id for service in self._configuration.services):
            self._assigner.withdrawn.add(service_id)
        self._keep(self._apply(self._configuration))

    def _recovered(self) -> None:
        """Consul is back: proxies that waited for a token are started, tokens of others deleted."""
        self._keep(self._apply(self._configuration))

    def _publish(self) -> None:
        self._api.publish(self._assigner.published(), files=self._configuration)

    def _remember(self, ids: frozenset[str]) -> None:
        if self._directory is not None:
            try:
                self._directory.write_registered(ids)
            except DataDirectoryError as exc:
                # A full disk is no reason to leave Consul without the registrations.
                log.error("what is registered is not written down: %s", exc)

    # ------------------------------------------------------------ housekeeping

    async def _settle(self) -> None:
        """Start what could not be started while Consul was away; delete tokens that are still there."""
        while True:
            await asyncio.sleep(SETTLE_PERIOD_S)
            try:
                await self._lost_tokens.look()
                if self._assigner.unsettled:
                    await self._apply(self._configuration)
                elif self._assigner.deleting_is_due:
                    async with self._applying:
                        await self._assigner.delete_tokens()
            except ConnectProxyError as exc:
                log.error("what waits for Consul is tried again: %s", exc)

    async def _replace_tokens(self, proxy_ids: frozenset[str]) -> None:
        self._assigner.unsettled |= proxy_ids
        await self._apply(self._configuration)

    async def _rotate_logs(self) -> None:
        assert self._directory is not None
        while True:
            await rotate_due(self._directory, doubled=self._fleet.doubled())
            await asyncio.sleep(ROTATION_PERIOD_S)

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s", error, exc_info=None if isinstance(error, ConnectProxyError) else error)
