"""What the connections of one worker share: policies, certificates, decisions, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from connect_proxy_builtin.balancer import Balancer
from connect_proxy_builtin.messages import Decide, News
from connect_proxy_builtin.policy import InboundPolicy, UpstreamPolicy
from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.tls.engine import Generation


class Connection(Protocol):
    """What inbound and outbound ones have in common."""

    def abort(self, reason: str) -> None:
        """Close at once."""

    def moved(self) -> Iterator[tuple[str, int]]:
        """The counters that its bytes belong to, and how many there were so far."""


class InboundConnection(Connection, Protocol):
    """A caller's, which waits for a decision about its identity, or lives by it."""

    def decided(self, decision: Decide) -> None:
        """Go on, or close."""


class OutboundConnection(Connection, Protocol):
    """An application's, which may have to wait for instances."""

    def choose(self) -> None:
        """Dial one, or close."""


@dataclass(slots=True)
class UpstreamState:
    """One upstream in this worker."""

    policy: UpstreamPolicy
    balancer: Balancer = field(default_factory=Balancer)
    open: int = 0
    waiting: dict[OutboundConnection, None] = field(default_factory=dict)
    """Connections that came before Consul has said what is behind it, in their order."""

    def use(self, policy: UpstreamPolicy) -> None:
        """From now on this; who waits for instances gets them."""
        self.policy = policy
        self.balancer.use(policy.targets, prefer_order=policy.prefer_order)
        if policy.known:
            waiting, self.waiting = self.waiting, {}
            for connection in waiting:
                connection.choose()


@dataclass(slots=True)
class Source:
    """One caller's identity in this worker: what was decided, who has it, who waits."""

    serial: str
    decision: Decide | None = None
    """None: not asked yet, or void since the intentions changed."""
    asked: bool = False
    connections: set[InboundConnection] = field(default_factory=set)
    """Open ones, waiting ones among them."""


@dataclass(slots=True)
class WorkerState:
    """Shared by all connections of a worker; touched by its thread only."""

    reactor: Reactor
    tell: Callable[[News], None]
    tls: Generation | None = None
    inbound: InboundPolicy | None = None
    upstreams: dict[str, UpstreamState] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    open: set[Connection] = field(default_factory=set)
    """Every connection, inbound and outbound."""
    tell_closed: bool = False
    """Whether every connection's end is told, for the access log."""
    identity: str = ""
    """Our own SPIFFE URI."""
    changed: Callable[[], None] = lambda: None
    """Called when a connection opened or closed: figures have to be reported soon."""
