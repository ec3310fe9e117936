"""Roots and leaf as the agent hands them out.

Sources: ``GET /v1/agent/connect/ca/roots`` and ``/v1/agent/connect/ca/leaf/:service``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connect_proxy.secret import Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """One CA certificate that Consul lists."""

    id: str
    """SHA-1 of the DER, lower-case hex joined by colons."""
    name: str
    pem: str
    """The root, followed by its intermediates if any."""
    active: bool
    """Whether new leaves are signed under it. Inactive ones are still to be trusted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Roots:
    """All CA certificates in force."""

    trust_domain: str
    """``<cluster id>.consul``, lower-case."""
    active_root_id: str
    roots: tuple[Root, ...]

    @property
    def pem(self) -> str:
        """All roots concatenated, each ending in a newline: what a peer's chain is checked against."""
        return "".join(root.pem if root.pem.endswith("\n") else root.pem + "\n" for root in self.roots)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """The certificate that proves a service's identity, with its key."""

    service: str
    uri: str
    """Its SPIFFE URI."""
    serial: str
    """Lower-case hex bytes joined by colons."""
    certificate_pem: str
    """The leaf, followed by intermediates if the CA has any."""
    private_key: Secret
    """PEM, ``EC PRIVATE KEY`` from Consul."""
    valid_after: datetime
    valid_before: datetime
