"""The built-in proxy: follows the snapshots, decides, keeps the data plane in step. Moves no byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connect_proxy.errors import ConfigurationError, ProxyControlError
from connect_proxy.plugin_api import ProxyRuntime
from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_builtin.authorizer import Authorizer
from connect_proxy_builtin.config_keys import mistyped
from connect_proxy_builtin.data_plane import DataPlane
from connect_proxy_builtin.descriptor_limit import make_room, raise_descriptor_limit
from connect_proxy_builtin.exposures import exposures
from connect_proxy_builtin.inheritance import Inherited
from connect_proxy_builtin.listeners import PUBLIC
from connect_proxy_builtin.messages import AuthorizeSource
from connect_proxy_builtin.names import Names, names_in
from connect_proxy_builtin.policy import plane_policy
from connect_proxy_builtin.process_settings import status_address, worker_count
from connect_proxy_builtin.status_server import StatusListener, serving
from connect_proxy_builtin.tls.leaf_clock import LeafClock

log = logging.getLogger("connect_proxy.builtin")

RETRY_LISTENERS_FIRST_S: Final = 0.1
RETRY_LISTENERS_S: Final = 3.0
REFRESH_NAMES_S: Final = 30.0
LOG_LEVELS: Final = {"TRACE": "DEBUG", "WARN": "WARNING"}


class BuiltinProxy:
    """A data plane inside connect-proxy (:class:`connect_proxy.plugin_api.InProcessProxy`)."""

    def __init__(self) -> None:
        self._plane: DataPlane | None = None
        self._authorizer: Authorizer | None = None
        self._runtime: ProxyRuntime | None = None
        self._snapshot: ProxySnapshot | None = None
        self._leaf = LeafClock()
        self._names = Names()
        self._served = StatusListener()
        self._over: asyncio.Future[int] | None = None
        self._draining = self._ended = False
        self._incomplete = asyncio.Event()
        """Set while a listener is missing."""
        self._warned: set[str] = set()
        self._rejected = ""

    async def run(self, runtime: ProxyRuntime) -> int:
        """Serve until drained; the exit code. Raises PortInUseError, ConfigurationError at the start."""
        self._runtime = runtime
        registration = runtime.context.registration
        raise_descriptor_limit()
        make_room()
        workers = worker_count(registration)
        self._over = asyncio.get_running_loop().create_future()
        inherited = Inherited(runtime.context.inherited)
        shared, address = runtime.context.shared_addresses, status_address(registration)
        async with serving(address, self.fresh_status, inherited, share=bool(shared)) as self._served:
            self._plane = plane = DataPlane(
                workers=workers,
                asked=self._asked,
                failed=self._plane_failed,
                inherited=inherited,
                shared=shared,
            )
            self._authorizer = authorizer = Authorizer(
                runtime.consul, target=registration.destination_service_name, post=plane.post
            )
            return await self._serve(runtime, plane, authorizer, self._over)

    async def _serve(
        self,
        runtime: ProxyRuntime,
        plane: DataPlane,
        authorizer: Authorizer,
        over: asyncio.Future[int],
    ) -> int:
        plane.start()
        tasks: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._follow(runtime, plane, authorizer)),
            asyncio.create_task(self._retry_listeners(plane)),
            asyncio.create_task(self._refresh_names(plane)),
            asyncio.create_task(self._leaf.watch()),
        ]
        try:
            running: set[asyncio.Future[Any]] = {over, *tasks}
            while not over.done():
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
            return over.result()
        finally:
            self._ended = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await authorizer.aclose()
            await plane.stop()

    def _asked(self, question: AuthorizeSource) -> None:
        if self._authorizer is not None:
            self._authorizer.asked(question)

    def _plane_failed(self, why: str) -> None:
        log.error("%s", why)
        if self._over is not None and not self._over.done():
            self._over.set_result(1)

    # ------------------------------------------------------------ control

    async def _follow(self, runtime: ProxyRuntime, plane: DataPlane, authorizer: Authorizer) -> None:
        intentions: int | None = None
        async for snapshot in runtime.snapshots.subscribe():
            if intentions != snapshot.intentions_generation:
                if intentions is not None:
                    log.debug("intentions changed: asking about every caller again")
                authorizer.intentions_changed()
                intentions = snapshot.intentions_generation
            await self._apply(snapshot, plane)

    async def _refresh_names(self, plane: DataPlane) -> None:
        """What host names stand for may change without a word from Consul."""
        while True:
            await asyncio.sleep(REFRESH_NAMES_S)
            if self._snapshot is not None and any(names_in(plane_policy(self._snapshot))):
                await self._apply(self._snapshot, plane)

    async def _apply(self, snapshot: ProxySnapshot, plane: DataPlane) -> None:
        """The first one has to fit; of later ones, what does not fit leaves the last good one in force."""
        first = plane.policy is None
        try:
            policy = plane_policy(snapshot)
            failed = plane.apply(await self._names.resolved(policy))
        except ConfigurationError as exc:
            if first:
                raise
            if self._rejected != str(exc):
                log.error("%s; the configuration before it stays in force", exc)
            self._rejected = str(exc)
            return
        self._rejected = ""
        self._snapshot = snapshot
        self._leaf.use(policy.tls)
        if first:
            if failed:  # half a sidecar would look like a whole one
                raise failed.get(PUBLIC) or next(iter(failed.values()))
            log.info("identity %s", policy.tls.identity)
            if self._runtime is not None and snapshot.registration == self._runtime.context.registration:
                self._warned.update(exposures(policy))  # said of every proxy, before it is launched
        if failed:
            self._incomplete.set()
        self._warn((*exposures(policy), *mistyped(snapshot.registration)))

    def _warn(self, texts: Iterable[str]) -> None:
        """Of what is odd and no error: once."""
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                log.warning("%s", text)

    async def _retry_listeners(self, plane: DataPlane) -> None:
        """Soon at first: an address that was left a moment ago is free in the next."""
        while True:
            await self._incomplete.wait()
            pause = RETRY_LISTENERS_FIRST_S
            while not plane.listeners.complete:
                await asyncio.sleep(pause)
                plane.listeners.retry()
                pause = min(RETRY_LISTENERS_S, pause * 2)
            self._incomplete.clear()

    # ------------------------------------------------------------ what supervisors ask for

    def is_ready(self) -> bool:
        """Whether every listener is open and the leaf is valid."""
        plane = self._plane
        return (
            plane is not None
            and plane.policy is not None
            and plane.listeners.complete
            and self._leaf.is_valid
            and not self._draining
            and not self._ended
        )

    async def drain(self, timeout_s: float) -> None:
        """Close the public listener, let connections finish, then let run() return 0."""
        self._draining = True
        if self._plane is None or self._over is None or self._over.done():
            return
        self._plane.drain()
        await self._finish(self._plane, self._over, timeout_s)

    def listening(self) -> Mapping[str, int]:
        """Descriptors for a new process that takes over."""
        listeners = self._plane.listeners.inheritable() if self._plane is not None else {}
        return {**listeners, **self._served.inheritable()}

    async def share_ports(self, share: bool) -> Sequence[str]:
        """Let a new process listen beside this one, or no other any more. Raises ProxyControlError."""
        if self._plane is None or self._ended:
            message = "it does not listen yet, or not any more"
            raise ProxyControlError(message)
        if share and (path := self._plane.listeners.unshareable() or self._served.path):
            message = f"it listens on the unix socket '{path}', which two processes cannot share"
            raise ProxyControlError(message)
        return [*self._plane.listeners.share(share), *self._served.share(share)]

    async def hand_over(self, timeout_s: float) -> None:
        """A new process serves: leave the listeners to it, let connections finish, let run() return 0."""
        self._draining = True
        if self._plane is None or self._over is None or self._over.done():
            return
        self._served.leave()
        self._plane.leave()
        await self._finish(self._plane, self._over, timeout_s)

    @staticmethod
    async def _finish(plane: DataPlane, over: asyncio.Future[int], timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await plane.drained.wait()
        if not over.done():
            over.set_result(0)

    async def fresh_status(self) -> Mapping[str, Any]:
        """As :meth:`status`, with figures of this moment."""
        if self._plane is not None and not self._ended:
            await self._plane.refresh()
        return self.status()

    def status(self) -> Mapping[str, Any]:
        """A JSON-able picture, with the figures last reported."""
        plane, snapshot = self._plane, self._snapshot
        picture: dict[str, Any] = {
            "state": self._state(),
            "ready": self.is_ready(),
            "certificate": self._leaf.status(),
        }
        if snapshot is not None:
            picture["snapshot_generation"] = snapshot.generation
            picture["registration_state"] = snapshot.registration_state.value
        if self._runtime is not None:
            feed = self._runtime.snapshots.status
            picture["snapshot_changed_at"] = _iso(feed.changed_at)
            picture["snapshot_stale_since"] = _iso(feed.stale_since)
        if self._authorizer is not None:
            picture["authorization_unanswered_since"] = _iso(self._authorizer.unanswered_since)
        if plane is not None:
            picture["listeners"] = {
                name or "public": address for name, address in plane.listeners.addresses().items()
            }
            picture["listener_failures"] = {
                name or "public": why for name, why in plane.listeners.failures.items()
            }
            picture["counters"] = plane.counters()
            picture["workers"] = plane.open_by_worker()
            picture["upstreams"] = plane.upstream_instances()
        if self._rejected:
            picture["rejected_configuration"] = self._rejected
        return picture

    def _state(self) -> str:
        if self._ended:
            return "ended"
        if self._draining:
            return "draining"
        if self._snapshot is None:
            return "starting"
        return "serving" if self._leaf.is_valid else "leaf_expired"

    def reopen_logs(self) -> None:
        """Open the access log again, after it was renamed."""
        if self._plane is not None and not self._ended:
            self._plane.access_log.reopen()

    def set_log_level(self, level: str) -> None:
        """From now on log at *level* (TRACE, DEBUG, INFO, WARN, ERROR)."""
        logging.getLogger("connect_proxy").setLevel(LOG_LEVELS.get(level.upper(), level.upper()))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
