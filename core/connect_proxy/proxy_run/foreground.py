"""A proxy that needs connect-proxy to stay: code of its own process, or a child with a companion."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any

from connect_proxy.backends import Backend
from connect_proxy.consul.client import ConsulClient, connect_consul
from connect_proxy.plugin_api import (
    ChildLaunch,
    Companion,
    InProcessLaunch,
    ProxyContext,
    ProxyProcess,
    Supervision,
)
from connect_proxy.proxy_run.control_door import control_door
from connect_proxy.proxy_run.inheritance import announce, inheritance
from connect_proxy.proxy_run.log_level import LogLevel
from connect_proxy.proxy_run.picture import picture
from connect_proxy.proxy_run.runtime import Runtime, reads_snapshots, watch
from connect_proxy.proxy_run.runtime_directory import made
from connect_proxy.proxy_run.self_registration import SelfRegistration
from connect_proxy.proxy_run.succession import SharedPorts, leave, obstacle, start_successor
from connect_proxy.snapshot.watcher import SnapshotWatcher
from connect_proxy.supervisor.notify import service_manager
from connect_proxy.supervisor.states import State

if TYPE_CHECKING:  # a proxy in this process needs none of it: imported with the child
    from connect_proxy.supervisor.supervisor import Supervisor

log = logging.getLogger("connect_proxy.run")

READY_POLL_FIRST_S, READY_POLL_S = 0.002, 0.05
READY_POLL_GROWTH = 1.2


class Foreground:
    """One proxy, its snapshot watcher, and the signals of an operator."""

    def __init__(
        self, context: ProxyContext, backend: Backend, launch: ChildLaunch | InProcessLaunch
    ) -> None:
        self._context = context
        self._backend = backend
        self._launch = launch
        self._manager = service_manager(context.environment, pid=os.getpid())
        self._stops_asked = 0
        self._last_signal = 0
        self._succession: asyncio.Task[None] | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._main: asyncio.Task[int] | None = None
        self._supervisor: Supervisor | None = None
        self._supervision: Supervision | None = None
        self._watcher: SnapshotWatcher | None = None
        self._companion: Companion | None = None
        self._stage = State.STARTING
        self._log_level = LogLevel(
            context.environment, self._current_supervision, is_up=lambda: self._stage is State.RUNNING
        )
        self._ports = SharedPorts(self._current_supervision)
        self._own: SelfRegistration | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Serve until it ends or is stopped; the exit code."""
        client = connect_consul(self._context.agent)
        described = self._context.described
        watcher = SnapshotWatcher(
            client,
            self._context.registration,
            token_file=self._context.agent.token_file,
            is_registered=described is None,
        )
        runtime = Runtime(context=self._context, consul=client, snapshots=watcher)
        self._watcher = watcher if reads_snapshots(self._launch) else None
        watching = asyncio.create_task(watch(self._watcher))
        try:
            async with AsyncExitStack() as stack:
                if self._launch.runtime_dir:
                    stack.enter_context(made(self._context.runtime_dir))
                await stack.enter_async_context(self._door())
                self._main = asyncio.create_task(self._serve(runtime))
                self._handle_signals()
                if described is not None and described.definition is not None:
                    self._own = SelfRegistration(client, described.definition, is_ready=self._is_ready)
                    self._keeping = self._keep(self._own.keep())
                if self._manager.watchdog_interval_s:
                    self._keep(self._show_life(self._manager.watchdog_interval_s))
                await asyncio.wait({self._main, watching}, return_when=asyncio.FIRST_COMPLETED)
                if not self._main.done():  # the watcher only ends by a defect: do not serve blindly
                    self._main.cancel()
                    await asyncio.wait({self._main})
                    watching.result()
                return self._exit_code(self._main)
        finally:
            await self._end(watching, client)

    def _exit_code(self, main: asyncio.Task[int]) -> int:
        if main.cancelled():
            return 128 + self._last_signal
        return main.result()

    async def _end(self, watching: asyncio.Task[Any], client: ConsulClient) -> None:
        for task in (watching, *self._tasks):
            task.cancel()
        await asyncio.gather(watching, *self._tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.withdraw()
        await client.aclose()

    # ------------------------------------------------------------ the two ways

    async def _serve(self, runtime: Runtime) -> int:
        if isinstance(self._launch, InProcessLaunch):
            return await self._serve_in_process(runtime, self._launch)
        return await self._serve_child(runtime, self._launch)

    async def _serve_in_process(self, runtime: Runtime, launch: InProcessLaunch) -> int:
        proxy = launch.proxy
        self._supervision = self._backend.supervise(
            self._context, ProxyProcess(pid=os.getpid(), proxy=proxy)
        )
        self._keep(self._announce_ready())
        return await proxy.run(runtime)

    async def _serve_child(self, runtime: Runtime, launch: ChildLaunch) -> int:
        from connect_proxy.proxy_run.child import supervised_child

        self._companion = launch.companion
        self._supervisor = supervised_child(
            self._context, self._backend, launch, default_probe=self._probe, on_state=self._on_state
        )
        try:
            if self._companion is not None:
                await self._companion.start(runtime)
            status = await self._supervisor.run()
        finally:
            if self._companion is not None:
                await self._companion.stop()
        if self._stops_asked and status in {0, -int(self._supervisor_stop_signal())}:
            return 0
        return 128 - status if status < 0 else status

    def _supervisor_stop_signal(self) -> int:
        supervision = self._supervisor.supervision if self._supervisor else None
        return supervision.stop_signal if supervision else signal.SIGTERM

    async def _probe(self) -> bool:
        from connect_proxy.proxy_run.readiness_notice import probe_public_listener

        return await probe_public_listener(self._context)

    def _on_state(self, state: State) -> None:
        self._stage = state
        if state is State.RUNNING:
            log.info("ready")
            self._manager.ready("serving")
            announce(inheritance(self._context.environment))
            self._keep(self._log_level.repeat())

    async def _is_ready(self) -> bool:
        supervision = self._current_supervision()
        is_ready = (supervision and supervision.is_ready) or self._probe
        return not self._stops_asked and await is_ready()

    async def _announce_ready(self) -> None:
        pause = READY_POLL_FIRST_S
        while not await self._is_ready():
            await asyncio.sleep(pause)
            pause = min(READY_POLL_S, pause * READY_POLL_GROWTH)
        self._on_state(State.RUNNING)

    async def _show_life(self, interval_s: float) -> None:
        """Tell the service manager's watchdog that this event loop turns."""
        while True:
            self._manager.alive()
            await asyncio.sleep(interval_s)

    # ------------------------------------------------------------ signals

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)
        loop.add_signal_handler(signal.SIGUSR1, self._asked_for_dump)
        loop.add_signal_handler(signal.SIGUSR2, self._asked_to_hand_over)

    def _asked_to_stop(self, number: int) -> None:
        self._stops_asked += 1
        self._last_signal = number
        now = self._stops_asked > 1
        log.info("%s: %s", signal.Signals(number).name, "stopping at once" if now else "draining")
        self._manager.stopping("stopping" if now else "draining")
        if self._succession is not None:
            self._succession.cancel()
        if self._supervisor is not None:
            self._supervisor.stop(now=now)
        elif now or self._supervision is None:
            if self._main is not None:
                self._main.cancel()
        else:
            self._keep(self._drain_own(self._supervision))

    def _asked_to_hand_over(self) -> None:
        if self._ports.are_shared:
            self._stops_asked += 1
            self._keep(self._ports.make_way(self._supervisor))
            return
        busy = self._stops_asked > 0 or (self._succession is not None and not self._succession.done())
        why_not = obstacle(self._supervision, self._context.environment, busy=busy)
        if self._supervision is None or why_not:
            log.warning("SIGUSR2: %s", why_not)
            return
        log.info("SIGUSR2: starting a new process that takes over")
        self._succession = self._keep(self._hand_over(self._supervision))

    async def _hand_over(self, supervision: Supervision) -> None:
        """Both serve until the new one is ready; then this one drains. Without it, go on."""
        self._successor = await start_successor(supervision)
        if self._successor is None:
            log.error("SIGUSR2: going on as before")
            return
        log.info("process %d has taken over: draining", self._successor.pid)
        self._manager.main_pid(self._successor.pid)
        if self._keeping is not None:  # the registration is the new process's from now on
            self._keeping.cancel()
        self._own = None
        await leave(supervision)

    async def _drain_own(self, supervision: Supervision) -> None:
        """Drain the proxy inside this process; its run() returns when nothing is left."""
        if supervision.drain is not None:
            await supervision.drain(supervision.drain_timeout_s)
        elif self._main is not None:
            self._main.cancel()

    def _asked_to_reload(self) -> None:
        log.info("SIGHUP: reading the token again, reloading what can be reloaded")
        if self._watcher is not None:
            self._watcher.refresh()
        supervision = self._current_supervision()
        if supervision is not None and supervision.reload is not None:
            self._keep(supervision.reload())

    def _asked_for_dump(self) -> None:
        self._keep(self._dump())

    async def _dump(self) -> None:
        supervision = self._current_supervision()
        if supervision is not None and supervision.reopen_logs is not None:
            await supervision.reopen_logs()
        log.info("state: %s", json.dumps(await self._state(), default=str, sort_keys=True))

    async def _state(self) -> Mapping[str, Any]:
        return await picture(
            self._context.registration.id,
            self._backend.name,
            watcher=self._watcher,
            supervisor=self._supervisor,
            companion=self._companion,
            supervision=self._current_supervision(),
        )

    def _door(self) -> AbstractAsyncContextManager[None]:
        return control_door(
            self._context.environment,
            state=self._state,
            set_log_level=self._log_level.order,
            share_ports=self._ports.share,
            writes_its_own_logs=isinstance(self._launch, InProcessLaunch),
        )

    def _current_supervision(self) -> Supervision | None:
        return self._supervisor.supervision if self._supervisor else self._supervision

    def _keep(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s", error, exc_info=error)
