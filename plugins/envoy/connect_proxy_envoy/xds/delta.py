"""Incremental ADS (``DeltaAggregatedResources``) as a state machine without I/O.

One stream serves several types. Per type the client says what it wants (everything, for clusters and
listeners; names, for endpoints and secrets), and what it holds is tracked by version:

- nothing is sent twice: a resource goes out when the version differs from what the client holds or
  has refused; asking for a name again always sends it again;
- one response per type is under way at a time; an ACK makes it held, a NACK makes it refused, and
  what was refused is sent again only when it changes or after :meth:`DeltaStream.retry`;
- sending a cluster forgets its endpoints, since Envoy drops them with the old cluster;
- make before break: clusters, endpoints, secrets, rules, then listeners, which wait until clusters and
  endpoints are taken; what is gone is removed after that, listeners before clusters.

Feed it with :meth:`offer` and :meth:`receive`, then send what :meth:`responses` gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from connect_proxy_envoy.resources.resource import Resource, ResourceSet
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, EXTENSION, LISTENER, SECRET
from connect_proxy_envoy.xds.messages import DeltaRequest, DeltaResponse, Refusal

EVERYTHING: Final = "*"
WILDCARD_TYPES: Final = frozenset({CLUSTER, LISTENER})


@dataclass(slots=True)
class _UnderWay:
    """A response that was sent and not answered."""

    nonce: str
    sent: dict[str, str]
    removed: tuple[str, ...]


@dataclass(slots=True)
class _Subscription:
    """One type on one stream."""

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    """Version by name, as acknowledged."""
    refused: dict[str, str] = field(default_factory=dict)
    under_way: _UnderWay | None = None

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def forget(self, name: str) -> None:
        """Whatever the client had under this name, it gets it again."""
        self.held.pop(name, None)
        self.refused.pop(name, None)
        if self.under_way is not None:
            self.under_way.sent.pop(name, None)


class DeltaStream:
    """The server's side of one stream."""

    def __init__(self) -> None:
        self._offered = ResourceSet()
        self._subscriptions: dict[str, _Subscription] = {}
        self._nonces = 0

    def __repr__(self) -> str:
        waiting = sorted(
            type_url.rpartition(".")[2]
            for type_url, entry in self._subscriptions.items()
            if entry.under_way
        )
        return f"<DeltaStream types={len(self._subscriptions)} under_way={waiting}>"

    def offer(self, resources: ResourceSet) -> None:
        """From now on these are the resources."""
        self._offered = resources

    def receive(self, request: DeltaRequest) -> Refusal | None:
        """Take a request in; what the client refuses by it, if anything."""
        entry = self._subscriptions.get(request.type_url)
        if entry is None:
            entry = self._subscriptions[request.type_url] = _Subscription()
            entry.wildcard = not request.subscribe and request.type_url in WILDCARD_TYPES
            entry.held.update(request.initial_versions)
        refusal = self._answered(entry, request)
        for name in request.unsubscribe:
            self._unsubscribe(entry, name)
        for name in request.subscribe:
            self._subscribe(entry, request.type_url, name, fresh=name in request.initial_versions)
        return refusal

    def refuses(self, type_url: str) -> bool:
        """Whether the client refuses something of that type as it is offered now."""
        entry = self._subscriptions.get(type_url)
        offered = self._offered.of_type(type_url)
        return entry is not None and any(
            name in offered and offered[name].version == version for name, version in entry.refused.items()
        )

    def retry(self) -> None:
        """Offer again what was refused: the reason may lie outside (a port in use)."""
        for entry in self._subscriptions.values():
            entry.refused.clear()

    def responses(self) -> list[DeltaResponse]:
        """What is to be sent now, in this order. Empty until something changes."""
        return list(self._pass())

    def _pass(self) -> Iterator[DeltaResponse]:
        for type_url in (CLUSTER, ENDPOINTS, SECRET, EXTENSION):
            yield from self._update(type_url, removals=False)
        if self._is_under_way(CLUSTER) or self._is_under_way(ENDPOINTS):
            return
        yield from self._update(LISTENER, removals=True)
        if not self._is_under_way(LISTENER):
            yield from self._update(CLUSTER, removals=True)

    def _update(self, type_url: str, *, removals: bool) -> Iterator[DeltaResponse]:
        entry = self._subscriptions.get(type_url)
        if entry is None or entry.under_way is not None:
            return
        offered = self._offered.of_type(type_url)
        changed = tuple(
            resource
            for name, resource in offered.items()
            if entry.wants(name) and _is_news(entry, resource)
        )
        gone: tuple[str, ...] = ()
        if removals and entry.wildcard:
            gone = tuple(sorted(name for name in entry.held if name not in offered))
        if not changed and not gone:
            return
        self._nonces += 1
        nonce = f"{self._nonces:08x}"
        sent = {resource.name: resource.version for resource in changed}
        entry.under_way = _UnderWay(nonce, sent, gone)
        if type_url == CLUSTER and (endpoints := self._subscriptions.get(ENDPOINTS)):
            for name in sent:
                endpoints.forget(name)
        yield DeltaResponse(type_url=type_url, nonce=nonce, resources=changed, removed=gone)

    def _is_under_way(self, type_url: str) -> bool:
        entry = self._subscriptions.get(type_url)
        return entry is not None and entry.under_way is not None

    @staticmethod
    def _answered(entry: _Subscription, request: DeltaRequest) -> Refusal | None:
        """ACK or NACK of the response under way; answers to older ones say nothing."""
        under_way = entry.under_way
        if under_way is None or not request.nonce or request.nonce != under_way.nonce:
            return None
        entry.under_way = None
        if request.error:
            entry.refused.update(under_way.sent)
            names = (*under_way.sent, *under_way.removed)
            return Refusal(type_url=request.type_url, names=names, reason=request.error)
        entry.held.update(under_way.sent)
        for name in under_way.sent:
            entry.refused.pop(name, None)
        for name in under_way.removed:
            entry.held.pop(name, None)
        return None

    @staticmethod
    def _subscribe(entry: _Subscription, type_url: str, name: str, *, fresh: bool) -> None:
        """*fresh*: the client has just said that it holds the resource, after a reconnect."""
        if name == EVERYTHING:
            entry.wildcard = type_url in WILDCARD_TYPES
            return
        entry.names.add(name)
        if not fresh:
            entry.forget(name)

    @staticmethod
    def _unsubscribe(entry: _Subscription, name: str) -> None:
        if name == EVERYTHING:
            entry.wildcard = False
            return
        entry.names.discard(name)
        if not entry.wildcard:
            entry.forget(name)


def _is_news(entry: _Subscription, resource: Resource) -> bool:
    return resource.version not in {entry.held.get(resource.name), entry.refused.get(resource.name)}
