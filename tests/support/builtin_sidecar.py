"""The built-in proxy in a thread of its own, driven by snapshots made by hand and a Consul of one call."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast

from connect_proxy.consul.access import AgentAccess
from connect_proxy.consul.client import Authorization, ConsulClient
from connect_proxy.mesh.certificates import Leaf, Root, Roots
from connect_proxy.mesh.endpoints import Endpoint, UpstreamEndpoints
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.mesh.spiffe import parse_service_identity
from connect_proxy.plugin_api import ProxyContext, ProxyRuntime, SnapshotFeed
from connect_proxy.secret import Secret
from connect_proxy.snapshot.snapshot import FeedStatus, ProxySnapshot
from connect_proxy_builtin.proxy import BuiltinProxy
from support.mesh_ca import Identity, MeshCa
from support.processes import wait_until

LOCALHOST = "127.0.0.1"

Behind = Sequence[tuple[Upstream, Sequence[Endpoint]]]
"""Upstreams, each with the instances behind it."""


class HandFeed:
    """A snapshot feed that a test publishes to, from any thread."""

    def __init__(self) -> None:
        self.current: ProxySnapshot | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[ProxySnapshot] | None = None

    @property
    def status(self) -> FeedStatus:
        generation = self.current.generation if self.current else 0
        return FeedStatus(generation=generation, changed_at=datetime.now(UTC), stale_since=None)

    async def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        self._loop, self._queue = asyncio.get_running_loop(), asyncio.Queue()
        if self.current is not None:
            yield self.current
        while True:
            yield await self._queue.get()

    def publish(self, snapshot: ProxySnapshot) -> None:
        self.current = snapshot
        if self._loop is not None and self._queue is not None:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, snapshot)


@dataclass
class OneCallConsul:
    """Answers ``authorize`` as ``decide`` says; counts the questions. An exception is raised."""

    decide: Callable[[str], bool | Exception] = lambda _service: True
    questions: list[str] = field(default_factory=list)

    async def authorize(self, *, target: str, client_uri: str, serial: str) -> Authorization:
        service = parse_service_identity(client_uri).service
        self.questions.append(service)
        answer = self.decide(service)
        if isinstance(answer, Exception):
            raise answer
        return Authorization(authorized=answer, reason=f"{service} to {target} by the test")


@dataclass(frozen=True)
class HandRuntime:
    """What a run lends to the proxy."""

    context: ProxyContext
    consul: ConsulClient
    snapshots: SnapshotFeed


def leaf_of(identity: Identity, service: str) -> Leaf:
    return Leaf(
        service=service,
        uri=identity.uri,
        serial=identity.serial,
        certificate_pem=identity.certificate_pem,
        private_key=Secret(identity.private_key_pem),
        valid_after=identity.valid_after,
        valid_before=identity.valid_before,
    )


def roots_of(*authorities: MeshCa) -> Roots:
    """The first is the active one."""
    return Roots(
        trust_domain=authorities[0].trust_domain,
        active_root_id=authorities[0].root_id,
        roots=tuple(
            Root(id=ca.root_id, name=ca.name, pem=ca.root_pem, active=ca is authorities[0])
            for ca in authorities
        ),
    )


def endpoint(
    service: str, port: int, *, address: str = LOCALHOST, passing: bool = True, datacenter: str = "dc1"
) -> Endpoint:
    return Endpoint(
        node="n1",
        service_id=f"{service}-{port}",
        address=address,
        port=port,
        datacenter=datacenter,
        destination_service=service,
        passing=passing,
    )


def first_snapshot(
    ca: MeshCa,
    service: str,
    *,
    public_port: int = 0,
    application_port: int = 0,
    config: Mapping[str, Any] | None = None,
    upstreams: Behind = (),
    **registration: Any,
) -> ProxySnapshot:
    """What Consul would say of a new sidecar of *service*."""
    registered = Registration(
        id=f"{service}-sidecar-proxy",
        name=f"{service}-sidecar-proxy",
        destination_service_name=service,
        destination_service_id=service,
        **{
            "address": LOCALHOST,
            "port": public_port,
            "local_service_port": application_port,
            "config": MappingProxyType(dict(config or {})),
            "upstreams": tuple(upstream for upstream, _ in upstreams),
            **registration,
        },
    )
    return ProxySnapshot(
        generation=1,
        registration=registered,
        roots=roots_of(ca),
        leaf=leaf_of(ca.leaf(service), service),
        endpoints=endpoints_of(upstreams),
    )


def endpoints_of(upstreams: Behind) -> Mapping[str, UpstreamEndpoints]:
    return MappingProxyType(
        {
            upstream.id: UpstreamEndpoints(upstream_id=upstream.id, endpoints=tuple(behind))
            for upstream, behind in upstreams
        }
    )


class Sidecar:
    """A running built-in proxy. Use as a context manager; it is ready inside unless told otherwise."""

    def __init__(
        self, snapshot: ProxySnapshot, *, consul: OneCallConsul | None = None, wait: bool = True
    ) -> None:
        self.consul = consul or OneCallConsul()
        self.proxy = BuiltinProxy()
        self.feed = HandFeed()
        self.feed.publish(snapshot)
        self.exit_code: int | None = None
        self.error: BaseException | None = None
        self._wait = wait
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[int] | None = None
        self._thread = threading.Thread(target=self._run, name="control")

    def __enter__(self) -> Self:
        self._thread.start()
        if self._wait:
            wait_until(lambda: self.proxy.is_ready() or self.error, "a ready sidecar")
            if self.error is not None:
                raise self.error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"{self.proxy.status()} {self.error!r}")
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())
        self.join()

    def join(self, deadline_s: float = 15.0) -> None:
        """Wait for its end."""
        self._thread.join(deadline_s)
        assert not self._thread.is_alive(), "the sidecar did not end"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _serve(self) -> None:
        assert self.feed.current is not None
        runtime: ProxyRuntime = HandRuntime(
            context=ProxyContext(registration=self.feed.current.registration, agent=AgentAccess()),
            consul=cast(ConsulClient, self.consul),
            snapshots=cast(SnapshotFeed, self.feed),
        )
        self._task = asyncio.ensure_future(self.proxy.run(runtime))
        try:
            self.exit_code = await self._task
        except asyncio.CancelledError:
            self.exit_code = -1
        except Exception as exc:
            self.error = exc

    @property
    def snapshot(self) -> ProxySnapshot:
        assert self.feed.current is not None
        return self.feed.current

    def publish(self, **changes: Any) -> None:
        """The next snapshot, with these parts changed."""
        now = self.snapshot
        self.feed.publish(dataclasses.replace(now, generation=now.generation + 1, **changes))

    def intentions_changed(self) -> None:
        """As if somebody had written an intention."""
        self.publish(intentions_generation=self.snapshot.intentions_generation + 1)

    def set_upstreams(self, upstreams: Behind) -> None:
        """Other upstreams from now on."""
        registration = dataclasses.replace(
            self.snapshot.registration, upstreams=tuple(upstream for upstream, _ in upstreams)
        )
        self.publish(registration=registration, endpoints=endpoints_of(upstreams))

    def counter(self, name: str) -> int:
        """One figure of the data plane, as last reported."""
        counters: Mapping[str, int] = self.proxy.status().get("counters", {})
        return counters.get(name, 0)

    def status_now(self) -> Mapping[str, Any]:
        """The status with figures of this moment; ``proxy.status()`` has those last reported."""
        asked = asyncio.run_coroutine_threadsafe(self.proxy.fresh_status(), self._loop)
        return asked.result(timeout=15)

    def wait_for_counter(self, name: str, value: int) -> None:
        """Until the figure is at least *value*."""
        wait_until(lambda: self.counter(name) >= value, f"{name} >= {value}: {self.proxy.status()}")

    def drain(self, timeout_s: float) -> None:
        """As a stop signal does; returns at once."""
        asyncio.run_coroutine_threadsafe(self.proxy.drain(timeout_s), self._loop)
