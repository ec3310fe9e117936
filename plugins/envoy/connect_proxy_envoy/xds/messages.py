"""What goes over a stream, as plain values. The protobuf messages are made of them at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connect_proxy_envoy.resources.resource import Resource


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaRequest:
    """``envoy.service.discovery.v3.DeltaDiscoveryRequest``."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    nonce: str = ""
    error: str = ""
    """Not empty: the response *nonce* is refused (NACK)."""
    initial_versions: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaResponse:
    """``envoy.service.discovery.v3.DeltaDiscoveryResponse``."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StateRequest:
    """``envoy.service.discovery.v3.DiscoveryRequest`` (state of the world)."""

    type_url: str
    names: tuple[str, ...] = ()
    nonce: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateResponse:
    """``envoy.service.discovery.v3.DiscoveryResponse``: everything of the type that was asked for."""

    type_url: str
    nonce: str
    version: str
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Envoy did not take a response: what was in it, and why it says so."""

    type_url: str
    names: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        kind = self.type_url.rpartition(".")[2]
        # Envoy takes what is good in a response; its reason names what is not.
        blamed = [name for name in self.names if name in self.reason] or self.names
        return f"Envoy refuses {kind} {', '.join(blamed) or '(none)'}: {' '.join(self.reason.split())}"
