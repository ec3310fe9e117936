"""What the typed calls give that is no value of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from connect_proxy.secret import NO_SECRET, Secret

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Generic[T_co]):
    """A value and where Consul stood when it gave it."""

    value: T_co
    index: int = 0
    """``X-Consul-Index`` to block on next; 0 where the endpoint has none."""
    content_hash: str = ""
    """``X-Consul-ContentHash`` to block on next; empty where the endpoint has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Authorization:
    """Consul's decision on one caller (``POST /v1/agent/connect/authorize``)."""

    authorized: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AclToken:
    """One ACL token (``/v1/acl/token``)."""

    accessor: str
    """Names it to an administrator; no secret."""
    secret: Secret = NO_SECRET
    """Empty where Consul hides it: who asked may read tokens (acl:read) but not write them."""
