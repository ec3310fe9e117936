"""Leaf certificates, one per service name, renewed before they expire and when the root changes.

Consul's agent keeps a leaf per name and token, renews it between 60 % and 90 % of its life, and makes
a new key each time. Where Consul spreads the renewals after a rotation over 30 s, this renews at once:
there is one signer and one machine.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.ca.held_leaf import HeldLeaf
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

    def __init__(
        self, *, authority: Authority, datacenter: str, changes: Changes, held: Iterable[HeldLeaf] = ()
    ) -> None:
        """*held*: what the sidecars have from an agent before this one."""
        self._held = {leaf.service: leaf for leaf in held}
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

    def issued(self) -> list[IssuedLeaf]:
        """The leaf of every service that has one of ours."""
        return list(self._leaves.values())

    def held(self) -> list[HeldLeaf]:
        """The leaves of the agent before that are still to be replaced."""
        return list(self._held.values())

    def held_for(self, service: str, *, index: int) -> HeldLeaf | None:
        """What keeps who has the leaf of *index* from a new one; None: it may have it.

        Who asks with no index has none, who asks with an index of ours has one of ours.
        """
        return self._held.get(service) if 0 < index <= self._changes.start else None

    def release_due(self, *, now: datetime) -> None:
        """Let the sidecars whose turn has come have new leaves. Wakes them."""
        for leaf in self.held():
            if now >= leaf.release_at:
                del self._held[leaf.service]
                self._changes.bump(leaf_topic(leaf.service))

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
        """When the next leaf is to be renewed or released; None without any."""
        renewals = (leaf.renew_at for leaf in self._leaves.values())
        return min((*renewals, *(leaf.release_at for leaf in self._held.values())), default=None)

    async def run(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            now = datetime.now(UTC)
            self._authority.prune(now=now)
            self.release_due(now=now)
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
        self._authority.signed(until=certificate.not_valid_after_utc)
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
