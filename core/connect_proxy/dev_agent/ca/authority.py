"""The CA's state: its configuration, its roots, which of them signs, and rotation.

Pure but for random keys: the time is an argument. Source of the behaviour: Consul 1.8.7's
``/v1/connect/ca/configuration`` and ``/v1/connect/ca/roots``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.profile import PrivateKey, Signer
from connect_proxy.dev_agent.changes import ROOTS, Changes
from connect_proxy.dev_agent.go_duration import (
    NANOSECONDS,
    NotADurationError,
    format_duration,
    parse_duration,
)
from connect_proxy.errors import ApiError
from connect_proxy.mesh.immutable import EMPTY, frozen
from connect_proxy.secret import MASK, Secret

PROVIDER: Final = "consul"
_DEFAULT: Final = {"IntermediateCertTTL": "8760h", "LeafCertTTL": "72h", "RotationPeriod": "2160h"}
_DEFAULT_LEAF_LIFE: Final = timedelta(hours=72)
_HOUR: Final = 3600 * NANOSECONDS
_LEAF_LIMITS: Final = (_HOUR, 8760 * _HOUR)
_FIRST_SERIAL: Final = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorityRoot:
    """One root, active or retired."""

    id: str
    certificate: x509.Certificate
    key: PrivateKey | None = None
    """None: of an agent before this one, which took it along."""
    intermediates: tuple[x509.Certificate, ...] = ()
    """Itself signed by the root before it."""
    active: bool = True
    retired_at: datetime | None = None
    leaves_until: datetime | None = None
    """The end of the last leaf that it signed; None: it signed none."""
    create_index: int = 0
    modify_index: int = 0

    @property
    def signer(self) -> Signer:
        assert self.key is not None, "only the active root signs, and its key is here"
        return Signer(certificate=self.certificate, key=self.key)


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """What ``GET /v1/connect/ca/configuration`` answers."""

    config: Mapping[str, Any] = EMPTY
    force_without_cross_signing: bool = False
    create_index: int = 0
    modify_index: int = 0

    @property
    def leaf_life(self) -> timedelta:
        """``LeafCertTTL``."""
        given = self.config.get("LeafCertTTL")
        if not given:
            return _DEFAULT_LEAF_LIFE
        return timedelta(microseconds=_nanoseconds(given) // 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Predecessor:
    """What is known of the CA of an agent before this one: everything but its keys."""

    configuration: Configuration
    """Without key and root certificate: neither is in force any more."""
    serial: int
    roots: tuple[AuthorityRoot, ...]


class Authority:
    """The one CA of the datacenter."""

    def __init__(
        self, *, cluster_id: str, changes: Changes, now: datetime, predecessor: Predecessor | None = None
    ) -> None:
        """Signs with a new root. That of a *predecessor* cannot sign it: its key is gone."""
        self.cluster_id = cluster_id
        self.changes = changes
        index = changes.bump(("ca-configuration",))
        fresh = Configuration(config=frozen(_DEFAULT), create_index=index, modify_index=index)
        before = predecessor or Predecessor(configuration=fresh, serial=_FIRST_SERIAL - 1, roots=())
        self._serial, self.configuration, self.roots = before.serial, before.configuration, before.roots
        self._wanted = _wanted_key(self.configuration.config)
        root = self._new_root(self.configuration.config, now=now)
        self._activate(root, now=now, cross_signed=False)
        self.prune(now=now)

    @property
    def trust_domain(self) -> str:
        return f"{self.cluster_id}.consul"

    @property
    def active(self) -> AuthorityRoot:
        return next(root for root in self.roots if root.active)

    @property
    def last_serial(self) -> int:
        return self._serial

    def signed(self, *, until: datetime) -> None:
        """The active root has signed a leaf that ends at *until*."""
        active = self.active
        last = max(until, active.leaves_until or until)
        self.roots = tuple(replace(root, leaves_until=last) if root.active else root for root in self.roots)

    def next_serial(self) -> int:
        """Serials are small increasing numbers, as Consul's provider counts them."""
        self._serial += 1
        return self._serial

    def configure(self, request: Mapping[str, Any], *, now: datetime) -> None:
        """``PUT``: another configuration; another root where key or root certificate change.

        A change of the leaf's life alone keeps the root, as in Consul. The old root stays listed,
        inactive, and has signed the new one unless ``ForceWithoutCrossSigning`` is set.
        """
        provider = request.get("Provider", "")
        if provider != PROVIDER:
            raise ApiError(500, f'could not initialize provider: unknown CA provider "{provider}"')
        config = self._unmasked(request.get("Config", {}))
        _check_lives(config)
        force = request.get("ForceWithoutCrossSigning", False)
        wanted = _wanted_key(config)
        if wanted != self._wanted:
            self._activate(self._new_root(config, now=now), now=now, cross_signed=not force)
            self._wanted = wanted
        self.configuration = replace(
            self.configuration,
            config=frozen(config),
            force_without_cross_signing=force,
            modify_index=self.changes.bump(("ca-configuration",)),
        )

    def _unmasked(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """*config* with the key in force where a client hands back the mask that it was shown."""
        if config.get("PrivateKey") != MASK:
            return config
        return {**config, "PrivateKey": self.configuration.config.get("PrivateKey", "")}

    def prune(self, *, now: datetime) -> None:
        """Drop roots that were retired twice a leaf's life ago: nothing they signed is valid now. Those of
        a predecessor go as soon as the last leaf that they signed has expired."""
        keep_for = 2 * self.configuration.leaf_life
        kept = tuple(root for root in self.roots if not _outlived(root, now=now, keep_for=keep_for))
        if kept != self.roots:
            self.roots = kept
            self.changes.bump(ROOTS)

    def _new_root(self, config: Mapping[str, Any], *, now: datetime) -> AuthorityRoot:
        certificate_pem, key_pem = (str(config.get(name) or "") for name in ("RootCert", "PrivateKey"))
        given = _given_certificate(certificate_pem) if certificate_pem else None
        key = _given_key(key_pem) if key_pem else profile.new_key(*_key_size(config))
        if given is not None:
            self._check_given(given, key)
        certificate = given or profile.self_signed_root(
            key=key, cluster_id=self.cluster_id, serial=self.next_serial(), now=now
        )
        return AuthorityRoot(id=profile.fingerprint(certificate), certificate=certificate, key=key)

    def _check_given(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        wanted = f"spiffe://{self.trust_domain}"
        try:
            uri = profile.uri_of(certificate)
            own_key = profile.key_id(profile.public_key_of(certificate))
        except ValueError as exc:
            raise ApiError(500, f"error configuring provider: root certificate: {exc}") from exc
        if own_key != profile.key_id(key.public_key()):
            raise ApiError(500, "error configuring provider: private key does not belong to the root")
        if uri != wanted:
            message = f'error configuring provider: root certificate names "{uri}", not "{wanted}"'
            raise ApiError(500, message)

    def _activate(self, root: AuthorityRoot, *, now: datetime, cross_signed: bool) -> None:
        if any(root.id == other.id and other.active for other in self.roots):
            return
        if cross_signed and self.roots:
            crossed = profile.cross_sign(
                root.certificate, by=self.active.signer, serial=self.next_serial(), now=now
            )
            root = replace(root, intermediates=(crossed,))
        index = self.changes.bump(ROOTS)
        retired = tuple(
            replace(
                other,
                active=False,
                modify_index=index,
                retired_at=now if other.retired_at is None else other.retired_at,
            )
            for other in self.roots
            if other.id != root.id
        )
        self.roots = (*retired, replace(root, create_index=index, modify_index=index))


def _outlived(root: AuthorityRoot, *, now: datetime, keep_for: timedelta) -> bool:
    if root.active or root.retired_at is None:
        return False
    if root.key is None:
        return root.leaves_until is None or now >= root.leaves_until
    return now - root.retired_at >= keep_for


def _given_certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as exc:
        raise ApiError(500, "error parsing root fingerprint: no PEM-encoded data found") from exc


def _given_key(pem: str) -> PrivateKey:
    """Consul quotes the text of a key that it cannot read; this does not."""
    try:
        return profile.load_key(pem)
    except ValueError as exc:
        message = "error generating CA root certificate: error generating CA: error parsing private key"
        raise ApiError(500, message) from exc


def _wanted_key(config: Mapping[str, Any]) -> tuple[Secret, str, str, int]:
    """What decides about the root: equal, and the root stays."""
    return (
        Secret(str(config.get("PrivateKey") or "")),
        str(config.get("RootCert") or ""),
        *_key_size(config),
    )


def _key_size(config: Mapping[str, Any]) -> tuple[str, int]:
    kind = str(config.get("PrivateKeyType") or "ec")
    if kind not in {"ec", "rsa"}:
        raise ApiError(500, "error configuring provider: private key type must be either 'ec' or 'rsa'")
    bits = config.get("PrivateKeyBits") or (256 if kind == "ec" else 2048)
    if bits not in profile.KEY_SIZES[kind]:
        message = f"error configuring provider: {kind.upper()} key length must be one of "
        raise ApiError(500, message + ", ".join(map(str, profile.KEY_SIZES[kind])))
    return kind, int(bits)


def _check_lives(config: Mapping[str, Any]) -> None:
    if given := config.get("LeafCertTTL"):
        life = _nanoseconds(given)
        shortest, longest = _LEAF_LIMITS
        if life < shortest:
            message = f"leaf cert TTL must be greater or equal than {format_duration(shortest)}"
            raise ApiError(500, f"error configuring provider: {message}")
        if life > longest:
            message = f"leaf cert TTL must be less than {format_duration(longest)}"
            raise ApiError(500, f"error configuring provider: {message}")


def _nanoseconds(given: object) -> int:
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < 2**63:
        return int(given)
    try:
        return parse_duration(str(given))
    except NotADurationError as exc:
        message = f"1 error(s) decoding:\n\n* error decoding 'LeafCertTTL': {exc}"
        raise ApiError(500, f"error configuring provider: error decoding config: {message}") from exc
