"""From a peer's certificate to its identity. The chain has been verified by OpenSSL before.

Rules: X509-SVID 4 and 5.2 (exactly one URI SAN, CA:FALSE, key usage digitalSignature and neither
keyCertSign nor cRLSign), a SPIFFE identity of a *service*, in our own trust domain.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography import x509

from connect_proxy.errors import PeerRefusedError
from connect_proxy.mesh.spiffe import NotServiceIdentityError, ServiceIdentity, parse_service_identity

CACHE_SIZE: Final = 2048


class Fault(Enum):
    """What is wrong with a peer's certificate: for counting."""

    NO_CERTIFICATE = "no_certificate"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    NO_URI = "no_uri"
    SEVERAL_URIS = "several_uris"
    AUTHORITY = "authority"
    KEY_USAGE = "key_usage"
    NOT_A_SERVICE = "not_a_service"
    TRUST_DOMAIN = "trust_domain"


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerIdentity:
    """Who the peer is."""

    identity: ServiceIdentity
    uri: str
    """As it stands in the certificate."""
    normal_uri: str
    """Lower-case with canonical escapes: what identities are compared by."""
    serial: str
    """Lower-case hex bytes joined by colons, as Consul writes it."""
    valid_before: float
    """Seconds since the epoch. A resumed session may not outlive it."""


class PeerIdentities:
    """Checks certificates; each distinct one is parsed once."""

    def __init__(self, trust_domain: str) -> None:
        self._trust_domain = trust_domain.lower()
        self._known: OrderedDict[bytes, PeerIdentity] = OrderedDict()

    def check(self, der: bytes | None) -> PeerIdentity:
        """The identity in the certificate. Raises PeerRefusedError."""
        if not der:
            message = "the peer showed no certificate"
            raise PeerRefusedError(message, reason=Fault.NO_CERTIFICATE.value)
        known = self._known.get(der)
        if known is None:
            known = identity_of(der, trust_domain=self._trust_domain)
            self._known[der] = known
            if len(self._known) > CACHE_SIZE:
                self._known.popitem(last=False)
        if known.valid_before <= time.time():
            message = f"the certificate of {known.uri!r} has expired"
            raise PeerRefusedError(message, reason=Fault.EXPIRED.value)
        return known


def identity_of(der: bytes, *, trust_domain: str) -> PeerIdentity:
    """Parse and check one certificate. Raises PeerRefusedError."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
        uris = _uris(extensions)
        is_authority, usage = _constraints(extensions), _usage(extensions)
        valid_before = certificate.not_valid_after_utc.timestamp()
        serial = _serial(certificate)
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as exc:
        message = f"the peer's certificate is malformed: {exc}"
        raise PeerRefusedError(message, reason=Fault.MALFORMED.value) from exc
    if len(uris) != 1:
        message = f"the peer's certificate carries {len(uris)} URI names, exactly one is needed"
        fault = Fault.SEVERAL_URIS if uris else Fault.NO_URI
        raise PeerRefusedError(message, reason=fault.value)
    uri = uris[0]
    if is_authority:
        message = f"the certificate of {uri!r} is one of an authority (CA:TRUE)"
        raise PeerRefusedError(message, reason=Fault.AUTHORITY.value)
    if usage is None or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        message = f"the certificate of {uri!r} has a key usage that no leaf may have"
        raise PeerRefusedError(message, reason=Fault.KEY_USAGE.value)
    identity = _service(uri, trust_domain)
    return PeerIdentity(
        identity=identity,
        uri=uri,
        normal_uri=identity.uri.lower(),
        serial=serial,
        valid_before=valid_before,
    )


def _service(uri: str, trust_domain: str) -> ServiceIdentity:
    try:
        identity = parse_service_identity(uri)
    except NotServiceIdentityError as exc:
        raise PeerRefusedError(str(exc), reason=Fault.NOT_A_SERVICE.value) from exc
    if identity.trust_domain != trust_domain:
        message = f"{uri!r} is of another trust domain than ours, {trust_domain!r}"
        raise PeerRefusedError(message, reason=Fault.TRUST_DOMAIN.value)
    return identity


def _serial(certificate: x509.Certificate) -> str:
    """As Consul writes it. Raises ValueError for one that RFC 5280 (4.1.2.2) forbids."""
    if certificate.serial_number <= 0:
        message = f"its serial number {certificate.serial_number} is not positive"
        raise ValueError(message)
    return colon_hex(certificate.serial_number)


def _uris(extensions: x509.Extensions) -> list[str]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _constraints(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _usage(extensions: x509.Extensions) -> x509.KeyUsage | None:
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def colon_hex(number: int) -> str:
    """``0x0a1f`` as ``0a:1f``: big-endian, whole bytes."""
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big").hex(":")
