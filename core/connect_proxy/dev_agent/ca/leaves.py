"""Leaf certificates, one per service name, renewed before they expire and when the root changes.

Consul's agent keeps a leaf per name and token, renews it between 60 % and 90 % of its life, and makes
a new key each time. Where Consul spreads the renewals after a rotation over 30 s, this renews at once:
there is one signer and one machine.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.changes import ROOTS, Changes, leaf_topic
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy.secret import Secret

RENEW_WINDOW: Final = (0.6, 0.9)
"""Parts of a leaf's life between which it is renewed."""
_LONGEST_SLEEP: Final = 60.0
"""Seconds between two looks at the leaves when nothing is due: also prunes retired roots."""
_log = logging.getLogger("connect_proxy.dev_agent")


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedLeaf:
    """A leaf with its key."""

    service: str
    uri: str
    serial: str
    chain_pem: str
    """The leaf, then the intermediates of its root."""
    key_pem: Secret
    valid_after: datetime
    valid_before: datetime
    root_id: str
    issued_at: datetime
    renew_at: datetime
    create_index: int


class Leaves:
    """The cache behind ``/v1/agent/connect/ca/leaf/:service``."""

    def __init__(self, *, authority: Authority, datacenter: str, changes: Changes) -> None:
        self._authority = authority
        self._datacenter = datacenter
        self._changes = changes
        self._leaves: dict[str, IssuedLeaf] = {}

    def current(self, service: str, *, now: datetime) -> IssuedLeaf:
        """The leaf of *service*, issued or renewed now if it has to be."""
        leaf = self._leaves.get(service)
        if leaf is None or self._is_due(leaf, now):
            leaf = self._leaves[service] = self._issue(service, now)
        return leaf

    def holds(self, service: str, *, now: datetime) -> bool:
        """Whether :meth:`current` would answer from the cache."""
        leaf = self._leaves.get(service)
        return leaf is not None and not self._is_due(leaf, now)

    def renew_due(self, *, now: datetime) -> None:
        """Renew every leaf that is due. Wakes who waits for it."""
        for leaf in list(self._leaves.values()):
            if self._is_due(leaf, now):
                _log.info("renewing the certificate of %r", leaf.service)
                self.current(leaf.service, now=now)

    def next_due(self) -> datetime | None:
        """When the next leaf is to be renewed; None without any."""
        return min((leaf.renew_at for leaf in self._leaves.values()), default=None)

    async def run(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            now = datetime.now(UTC)
            self._authority.prune(now=now)
            self.renew_due(now=now)
            due = self.next_due()
            pause = _LONGEST_SLEEP if due is None else (due - now).total_seconds()
            timeout = min(max(pause, 0.1), _LONGEST_SLEEP)
            if not await self._changes.wait((ROOTS,), timeout=timeout) and self._changes.closed:
                return

    def _is_due(self, leaf: IssuedLeaf, now: datetime) -> bool:
        return leaf.root_id != self._authority.active.id or now >= leaf.renew_at

    def _issue(self, service: str, now: datetime) -> IssuedLeaf:
        root = self._authority.active
        identity = ServiceIdentity(
            trust_domain=self._authority.trust_domain, datacenter=self._datacenter, service=service
        )
        key = ec.generate_private_key(ec.SECP256R1())
        serial = self._authority.next_serial()
        certificate = profile.leaf(
            service=service,
            uri=identity.uri,
            key=key.public_key(),
            by=root.signer,
            serial=serial,
            now=now,
            life=self._authority.configuration.leaf_life,
        )
        return IssuedLeaf(
            service=service,
            uri=identity.uri,
            serial=profile.serial_hex(serial),
            chain_pem="".join(map(profile.pem_of, (certificate, *root.intermediates))),
            key_pem=Secret(profile.key_pem(key)),
            valid_after=certificate.not_valid_before_utc,
            valid_before=certificate.not_valid_after_utc,
            root_id=root.id,
            issued_at=now,
            renew_at=_renewal(certificate),
            create_index=self._changes.bump(leaf_topic(service)),
        )


def _renewal(certificate: x509.Certificate) -> datetime:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    part = random.uniform(*RENEW_WINDOW)  # noqa: S311 - spreads load, protects nothing
    return certificate.not_valid_before_utc + timedelta(seconds=life.total_seconds() * part)
