"""From what the queries have found so far to the snapshot. Pure.

Parts that did not change stay the same objects (``is``), so that a reader can tell cheaply what is
new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from connect_proxy.mesh.certificates import Leaf, Roots
from connect_proxy.mesh.endpoints import Endpoint, UpstreamEndpoints
from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration
from connect_proxy.snapshot.snapshot import ProxySnapshot, RegistrationState

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class IntentionsPart:
    """What one look at the intentions gave."""

    intentions: tuple[Intention, ...]
    default_allow: bool
    index: int = 0
    """Of the list of all intentions: it moves with every change of any; 0 where it may not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What is known now. None: Consul has not answered yet."""

    registration: Registration
    registration_state: RegistrationState = RegistrationState.REGISTERED
    roots: Roots | None = None
    leaf: Leaf | None = None
    intentions: IntentionsPart | None = None
    intentions_generation: int = 0
    endpoints: Mapping[str, UpstreamEndpoints] = field(default=EMPTY)

    @property
    def suffice(self) -> bool:
        """Whether a snapshot can be made of them: what is behind the upstreams may come later."""
        return self.roots is not None and self.leaf is not None and self.intentions is not None

    def with_registration(self, registration: Registration) -> Parts:
        """After the agent gave the registration.

        A proxy that now stands for another service needs that one's leaf and intentions: those of
        the former are dropped, so that no snapshot mixes the two.
        """
        same_service = registration.destination_service_name == self.registration.destination_service_name
        upstream_ids = {upstream.id for upstream in registration.upstreams}
        return replace(
            self,
            registration=_kept(self.registration, registration),
            registration_state=RegistrationState.REGISTERED,
            leaf=self.leaf if same_service else None,
            intentions=self.intentions if same_service else None,
            endpoints=_kept(
                self.endpoints,
                MappingProxyType(
                    {key: found for key, found in self.endpoints.items() if key in upstream_ids}
                ),
            ),
        )

    def unregistered(self) -> Parts:
        """After the agent said that it knows the proxy no more: the last registration stays in force."""
        return replace(self, registration_state=RegistrationState.UNREGISTERED)

    def with_roots(self, roots: Roots) -> Parts:
        """After the agent gave the roots."""
        return replace(self, roots=_kept(self.roots, roots))

    def with_leaf(self, leaf: Leaf) -> Parts:
        """After the agent gave the leaf."""
        return replace(self, leaf=_kept(self.leaf, leaf))

    def with_intentions(self, found: IntentionsPart) -> Parts:
        """After a look at the intentions: their generation rises if anything is other than before."""
        if found == self.intentions:
            return self
        known = self.intentions.intentions if self.intentions else None
        return replace(
            self,
            intentions=replace(found, intentions=_kept(known, found.intentions)),
            intentions_generation=self.intentions_generation + 1,
        )

    def with_endpoints(self, upstream_id: str, endpoints: tuple[Endpoint, ...]) -> Parts:
        """After Consul answered for one upstream."""
        found = UpstreamEndpoints(upstream_id=upstream_id, endpoints=endpoints)
        if self.endpoints.get(upstream_id) == found:
            return self
        return replace(self, endpoints=MappingProxyType({**self.endpoints, upstream_id: found}))


def assemble(parts: Parts, *, previous: ProxySnapshot | None) -> ProxySnapshot | None:
    """The snapshot of *parts*; *previous* itself if nothing changed.

    *previous* also as long as roots, leaf or intentions are not known (None at the start). An
    upstream that Consul has not answered for does not hold it up: it is there with ``known=False``.
    """
    if parts.roots is None or parts.leaf is None or parts.intentions is None:
        return previous
    snapshot = ProxySnapshot(
        generation=previous.generation if previous else 1,
        registration=parts.registration,
        registration_state=parts.registration_state,
        roots=parts.roots,
        leaf=parts.leaf,
        intentions=parts.intentions.intentions,
        intentions_generation=parts.intentions_generation,
        default_allow=parts.intentions.default_allow,
        endpoints=_all_upstreams(parts, previous),
    )
    if previous is None:
        return snapshot
    return previous if snapshot == previous else replace(snapshot, generation=previous.generation + 1)


def _all_upstreams(parts: Parts, previous: ProxySnapshot | None) -> Mapping[str, UpstreamEndpoints]:
    before = previous.endpoints if previous else EMPTY
    unknown = {
        upstream.id: UpstreamEndpoints(upstream_id=upstream.id, known=False)
        for upstream in parts.registration.upstreams
    }
    now = {
        key: _kept(before.get(key), parts.endpoints.get(key, nothing)) for key, nothing in unknown.items()
    }
    return _kept(before, MappingProxyType(now))


def _kept(known: T | None, found: T) -> T:
    """*known* if *found* says the same."""
    return known if known is not None and known == found else found
