"""The certificates, field by field, as Consul 1.8's own CA issues them.

EC P-256 unless the CA's key is RSA; identities are URI SANs only; subject and authority key id are
the whole SHA-256 of the public key (32 bytes).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

ROOT_LIFE: Final = timedelta(days=3652)
"""Ten years."""
CROSS_SIGNED_LIFE: Final = timedelta(days=7)
BACKDATE: Final = timedelta(minutes=1)
"""How far back validity begins, for clocks that differ."""
Curve: TypeAlias = ec.SECP224R1 | ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
_CURVES: Final[Mapping[int, type[Curve]]] = {
    224: ec.SECP224R1,
    256: ec.SECP256R1,
    384: ec.SECP384R1,
    521: ec.SECP521R1,
}
KEY_SIZES: Final[Mapping[str, tuple[int, ...]]] = {"ec": tuple(_CURVES), "rsa": (2048, 4096)}
"""What Consul's ``PrivateKeyType`` and ``PrivateKeyBits`` may be."""
_MAX_COMMON_NAME: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """A CA certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey


def new_key(kind: str, bits: int) -> PrivateKey:
    """A fresh key of a kind and size in :data:`KEY_SIZES`."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(_CURVES[bits]())


def self_signed_root(*, key: PrivateKey, cluster_id: str, serial: int, now: datetime) -> x509.Certificate:
    """A root of its own, for the trust domain ``<cluster_id>.consul``."""
    name = f"pri-{_random_word()}.consul.ca.{cluster_id[:8]}.consul"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return _ca_certificate(
        subject=subject,
        uri=f"spiffe://{cluster_id}.consul",
        public_key=key.public_key(),
        serial=serial,
        not_before=now,
        not_after=now + ROOT_LIFE,
        issuer=subject,
        issuer_key=key,
    )


def cross_sign(root: x509.Certificate, *, by: Signer, serial: int, now: datetime) -> x509.Certificate:
    """*root* signed by an older root, so that who knows only the older one trusts its leaves."""
    return _ca_certificate(
        subject=root.subject,
        uri=uri_of(root),
        public_key=public_key_of(root),
        serial=serial,
        not_before=now - BACKDATE,
        not_after=now - BACKDATE + CROSS_SIGNED_LIFE,
        issuer=by.certificate.subject,
        issuer_key=by.key,
    )


def leaf(
    *, service: str, uri: str, key: PublicKey, by: Signer, serial: int, now: datetime, life: timedelta
) -> x509.Certificate:
    """The certificate of *service*, valid for *life* from a minute ago."""
    not_before = now - BACKDATE
    name = leaf_common_name(service, uri)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(by.certificate.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_before + life)
        .add_extension(_key_usage(encipher=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id(key)), critical=False)
        .add_extension(_authority(by.key.public_key()), critical=False)
        .add_extension(_uri_name(uri), critical=False)
    )
    return builder.sign(by.key, hashes.SHA256())


def leaf_common_name(service: str, uri: str) -> str:
    """``web.svc.default.<first 8 of the cluster id>.consul``: letters and digits of the name only."""
    tail = f".svc.default.{uri.removeprefix('spiffe://')[:8]}.consul"
    return re.sub(r"[^a-z0-9]", "", service.lower())[: _MAX_COMMON_NAME - len(tail)] + tail


def key_id(key: PublicKey) -> bytes:
    """SHA-256 of the public key's DER (SubjectPublicKeyInfo)."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def fingerprint(certificate: x509.Certificate) -> str:
    """Consul's id of a root: SHA-1 of the DER as colon hex."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return colon_hex(hashlib.sha1(der, usedforsecurity=False).digest())


def colon_hex(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def serial_hex(serial: int) -> str:
    """``08``, ``0a:1f``: how leaf serials are written."""
    return colon_hex(serial.to_bytes(max(1, (serial.bit_length() + 7) // 8), "big"))


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: PrivateKey) -> str:
    """``EC PRIVATE KEY`` or ``RSA PRIVATE KEY``, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def load_key(pem: str) -> PrivateKey:
    """The EC or RSA key in *pem*. Raises ValueError for anything else."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        message = "unknown private key type"
        raise ValueError(message)
    return key


def key_kind(certificate: x509.Certificate) -> tuple[str, int]:
    """``("ec", 256)``, ``("rsa", 2048)``."""
    key = public_key_of(certificate)
    return ("rsa" if isinstance(key, rsa.RSAPublicKey) else "ec", key.key_size)


def public_key_of(certificate: x509.Certificate) -> PublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        message = "unknown public key type"
        raise ValueError(message)
    return key


def uri_of(certificate: x509.Certificate) -> str:
    """The first URI SAN. Raises ValueError if there is none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    except (x509.ExtensionNotFound, IndexError) as exc:
        message = "the certificate names no URI"
        raise ValueError(message) from exc


def _ca_certificate(
    *,
    subject: x509.Name,
    uri: str,
    public_key: PublicKey,
    serial: int,
    not_before: datetime,
    not_after: datetime,
    issuer: x509.Name,
    issuer_key: PrivateKey,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(key_id(public_key)), critical=False)
        .add_extension(_authority(issuer_key.public_key()), critical=False)
        .add_extension(_uri_name(uri), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _uri_name(uri: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])


def _authority(key: PublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(key_id(key), None, None)


def _key_usage(*, sign_certificates: bool = False, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=encipher,
        key_agreement=encipher,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _random_word() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
