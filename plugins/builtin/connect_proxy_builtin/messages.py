"""What control and workers tell each other. Frozen values: nothing else passes between them.

Descriptors in messages are duplicates that the receiver owns. A worker in a process of its own
would get the same values over a socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connect_proxy_builtin.policy import InboundPolicy, TlsMaterial, UpstreamPolicy

# ---------------------------------------------------------------- control to worker


@dataclass(frozen=True, kw_only=True, slots=True)
class UseTls:
    """New handshakes use this. Running connections keep what they began with."""

    generation: int
    material: TlsMaterial


@dataclass(frozen=True, kw_only=True, slots=True)
class UseInbound:
    """New inbound connections follow this."""

    policy: InboundPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class UseUpstream:
    """New connections through this upstream follow this."""

    policy: UpstreamPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class DropUpstream:
    """This upstream is gone; its running connections may finish."""

    upstream_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenListener:
    """Accept on this socket too."""

    key: str
    """Names the listener in :class:`CloseListener`."""
    descriptor: int
    family: int
    upstream_id: str = ""
    """Empty: the public listener."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseListener:
    """Accept what already waits there, then no more."""

    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetDecisions:
    """Intentions changed, or may have: ask again for new callers and for everyone connected now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Whether this source may call. A denial closes what it has open."""

    source: str
    allowed: bool
    reason: str
    lasting: bool = True
    """False: only for those who wait now; the next caller asks again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TellClosed:
    """Whether to send a :class:`Closed` for each connection that ends."""

    wanted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AskReport:
    """Send a :class:`Report` now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drain:
    """Say :class:`Drained` as soon as no connection is left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Close everything and end."""


# ---------------------------------------------------------------- worker to control


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorizeSource:
    """May this source call? Answered by :class:`Decide`."""

    source: str
    """Its SPIFFE URI."""
    serial: str
    """Of the certificate it showed: lower-case hex bytes joined by colons."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Say:
    """A line for the log."""

    level: int
    text: str
    kind: str
    """Lines of one kind are thinned out when they come in floods."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """No connection is left, after :class:`Drain`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """A connection has ended: a line of the access log."""

    direction: str
    """``inbound`` or ``outbound``."""
    source: str
    """The caller's SPIFFE URI; inbound and unknown: empty. Outbound: our own."""
    destination: str
    """Inbound: our own SPIFFE URI. Outbound: the one that the instance had to prove."""
    upstream: str
    """Its id; empty for inbound."""
    peer: str
    """The caller's or the instance's address."""
    received: int
    """Bytes from the mesh."""
    sent: int
    seconds: float
    reason: str
    """``ended`` after an orderly end of both directions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The worker is over; ``failure`` is empty after :class:`Stop`."""

    failure: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The worker's figures since its start."""

    counters: Mapping[str, int] = field(default_factory=dict)
    """By name: totals, but for names that end in ``_open``, which are how many there are now."""
    upstreams: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)
    """Per upstream: its instances with their open connections and whether they are avoided."""


Order = (
    UseTls
    | UseInbound
    | UseUpstream
    | DropUpstream
    | OpenListener
    | CloseListener
    | ForgetDecisions
    | Decide
    | TellClosed
    | AskReport
    | Drain
    | Stop
)
News = AuthorizeSource | Say | Drained | Closed | Ended | Report
