"""Plain ADS (``StreamAggregatedResources``) as a state machine without I/O.

Every response holds all resources of its type that the client asked for. A request is answered only
if it is the first of its type, or changes the set of names, or if the data changed: a server that
answers every request starts an endless exchange, since each answer is acknowledged by a request.
Requests with an older nonce speak of a response that was overtaken and are left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from connect_proxy_envoy.resources.resource import Resource, ResourceSet
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, ORDER
from connect_proxy_envoy.xds.delta import WILDCARD_TYPES
from connect_proxy_envoy.xds.messages import Refusal, StateRequest, StateResponse


@dataclass(slots=True)
class _Subscription:
    """One type on one stream."""

    names: frozenset[str]
    nonce: str = ""
    """Of the last response; empty before the first."""
    version: str = ""
    """Of what was sent last."""
    sent: tuple[str, ...] = ()
    answered: bool = True
    refused: bool = False
    """What was sent last."""


class StateStream:
    """The server's side of one stream."""

    def __init__(self) -> None:
        self._offered = ResourceSet()
        self._subscriptions: dict[str, _Subscription] = {}
        self._nonces = 0

    def __repr__(self) -> str:
        return f"<StateStream types={len(self._subscriptions)} nonce={self._nonces}>"

    def offer(self, resources: ResourceSet) -> None:
        """From now on these are the resources."""
        self._offered = resources

    def receive(self, request: StateRequest) -> Refusal | None:
        """Take a request in; what the client refuses by it, if anything."""
        names = frozenset(request.names)
        entry = self._subscriptions.get(request.type_url)
        if entry is None:
            self._subscriptions[request.type_url] = _Subscription(names=names)
            return None
        if request.nonce != entry.nonce:
            return None
        entry.answered, entry.refused = True, bool(request.error)
        if names != entry.names:
            entry.names = names
            entry.version = ""
        if request.error:
            return Refusal(type_url=request.type_url, names=entry.sent, reason=request.error)
        return None

    def refuses(self, type_url: str) -> bool:
        """Whether the client refused the last response of that type."""
        entry = self._subscriptions.get(type_url)
        return entry is not None and entry.refused

    def retry(self) -> None:
        """Send everything anew: the reason of a refusal may lie outside (a port in use)."""
        for entry in self._subscriptions.values():
            entry.version = ""

    def responses(self) -> list[StateResponse]:
        """What is to be sent now, in this order. Empty until something changes."""
        return list(self._pass())

    def _pass(self) -> Iterator[StateResponse]:
        for type_url in ORDER:
            entry = self._subscriptions.get(type_url)
            if entry is None or not entry.answered:
                continue
            resources = self._wanted(type_url, entry)
            version = _version(resources)
            if version == entry.version or (not resources and not self._may_be_empty(type_url, entry)):
                continue
            if type_url == CLUSTER and (endpoints := self._subscriptions.get(ENDPOINTS)):
                endpoints.version = ""
            self._nonces += 1
            entry.nonce, entry.version, entry.answered = f"{self._nonces:08x}", version, False
            entry.sent = tuple(resource.name for resource in resources)
            yield StateResponse(type_url=type_url, nonce=entry.nonce, version=version, resources=resources)

    def _wanted(self, type_url: str, entry: _Subscription) -> tuple[Resource, ...]:
        offered = self._offered.of_type(type_url)
        everything = type_url in WILDCARD_TYPES and not entry.names
        return tuple(resource for name, resource in offered.items() if everything or name in entry.names)

    def _may_be_empty(self, type_url: str, entry: _Subscription) -> bool:
        """An empty list tells that everything is gone: only after there was something."""
        return type_url in WILDCARD_TYPES and bool(entry.sent)


def _version(resources: tuple[Resource, ...]) -> str:
    digest = hashlib.sha256()
    for resource in resources:
        digest.update(f"{resource.name}={resource.version};".encode())
    return digest.hexdigest()[:16]
