"""The snapshot: all that a data plane needs of one proxy, at one moment, as one frozen value."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from connect_proxy.mesh.certificates import Leaf, Roots
from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration


class RegistrationState(Enum):
    """Whether Consul still lists the proxy."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    """It vanished while running: the last one stays in force, and it may come back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxySnapshot:
    """One proxy's world. A new value is delivered whenever any part of it changes."""

    generation: int
    """1 for the first, then rising."""
    registration: Registration
    registration_state: RegistrationState = RegistrationState.REGISTERED
    roots: Roots
    leaf: Leaf
    intentions: tuple[Intention, ...] = ()
    """Those whose destination covers this service, in precedence order."""
    intentions_generation: int = 0
    """Rises whenever any intention changed, or may have: cached decisions of an older one are void."""
    default_allow: bool = True
    """What Consul decides where no intention matches (ACLs off, or ``default_policy``)."""
    endpoints: Mapping[str, UpstreamEndpoints] = EMPTY
    """By :attr:`Upstream.id`; an upstream that Consul has not answered for yet has ``known=False``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedStatus:
    """How fresh the snapshot is."""

    generation: int
    changed_at: datetime | None
    """When the current snapshot was delivered; None before the first."""
    stale_since: datetime | None
    """Since when Consul does not answer; None while it does."""
    last_error: str = ""
    """Of the last failed query, empty once all are answered again."""
    failing: tuple[str, ...] = ()
    """Which queries fail now, such as ``leaf`` or ``upstream db``; sorted."""
    token_refused: bool = False
    """Consul refuses the ACL token (unknown, or lacking a permission)."""


class SnapshotFeed(Protocol):
    """Where snapshots come from: the watcher in the program, a list of values in tests."""

    @property
    def current(self) -> ProxySnapshot | None:
        """The newest snapshot, None before the first."""

    @property
    def status(self) -> FeedStatus:
        """How fresh it is."""

    def subscribe(self) -> AsyncIterator[ProxySnapshot]:
        """The current snapshot (if any) and every later one; a slow reader gets only the newest."""
