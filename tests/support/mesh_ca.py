"""A certificate authority of the tests: Consul's certificate profile, and every way to break it."""

from __future__ import annotations

import datetime
import hashlib
import ssl
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_MINUTE = datetime.timedelta(minutes=1)
BOTH_USAGES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A certificate (chain) and its key, PEM."""

    uri: str
    certificate_pem: str
    private_key_pem: str = field(repr=False)
    serial: str
    """Lower-case hex bytes joined by colons, as Consul writes them."""
    valid_after: datetime.datetime
    valid_before: datetime.datetime


@dataclass(frozen=True, kw_only=True)
class MeshCa:
    """One root. ``leaf`` gives good certificates; each ``..._leaf`` method one flaw."""

    trust_domain: str = field(default_factory=lambda: f"{uuid.uuid4()}.consul")
    datacenter: str = "dc1"
    name: str = "Test CA 1"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "certificate", self._self_signed())

    @property
    def root_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def root_id(self) -> str:
        """SHA-1 of the DER, as Consul names its roots."""
        digest = hashlib.sha1(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

    def uri(self, service: str, *, datacenter: str = "") -> str:
        return f"spiffe://{self.trust_domain}/ns/default/dc/{datacenter or self.datacenter}/svc/{service}"

    def leaf(self, service: str, *, datacenter: str = "") -> Identity:
        """What Consul would give the service."""
        return self.issue([self.uri(service, datacenter=datacenter)], name=service)

    def expired_leaf(self, service: str) -> Identity:
        now = datetime.datetime.now(datetime.UTC)
        return self.issue([self.uri(service)], name=service, begins=now - 2 * _DAY, ends=now - _MINUTE)

    def future_leaf(self, service: str) -> Identity:
        """Not valid yet."""
        now = datetime.datetime.now(datetime.UTC)
        return self.issue([self.uri(service)], name=service, begins=now + _DAY, ends=now + 2 * _DAY)

    def short_leaf(self, service: str, *, seconds: float) -> Identity:
        """Valid for so many seconds from now."""
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        return self.issue([self.uri(service)], name=service, ends=ends)

    def leaf_without_uri(self, service: str) -> Identity:
        return self.issue([], name=service, dns=[service])

    def leaf_with_two_uris(self, service: str, other: str) -> Identity:
        return self.issue([self.uri(service), self.uri(other)], name=service)

    def ca_leaf(self, service: str) -> Identity:
        """A leaf that says CA:TRUE."""
        return self.issue([self.uri(service)], name=service, is_ca=True)

    def leaf_for_usage(self, service: str, usages: Sequence[x509.ObjectIdentifier]) -> Identity:
        """A leaf with other extended key usages, such as ``[SERVER_AUTH]`` for a client."""
        return self.issue([self.uri(service)], name=service, usages=usages)

    def foreign_leaf(self, service: str) -> Identity:
        """Signed by this root, with the URI of another trust domain."""
        uri = f"spiffe://{uuid.UUID(int=1)}.consul/ns/default/dc/{self.datacenter}/svc/{service}"
        return self.issue([uri], name=service)

    def gateway_leaf(self) -> Identity:
        """A mesh gateway's identity, no service."""
        return self.issue([f"spiffe://{self.trust_domain}/gateway/mesh/dc/{self.datacenter}"], name="gw")

    def agent_leaf(self, node_id: str = "n1") -> Identity:
        """A Consul client agent's identity, no service."""
        uri = f"spiffe://{self.trust_domain}/agent/client/dc/{self.datacenter}/id/{node_id}"
        return self.issue([uri], name="agent")

    def successor(self, name: str = "Test CA 2") -> MeshCa:
        """Another root of the same trust domain, as after a rotation."""
        return MeshCa(trust_domain=self.trust_domain, datacenter=self.datacenter, name=name)

    def cross_sign(self, other: MeshCa) -> str:
        """The other root's certificate signed by this one (PEM): the intermediate of a rotation."""
        builder = _builder(other.name, self.name, other.key, self.key, is_ca=True)
        builder = builder.add_extension(_uris([f"spiffe://{self.trust_domain}"]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        uris: Sequence[str],
        *,
        name: str,
        dns: Sequence[str] = (),
        is_ca: bool = False,
        usages: Sequence[x509.ObjectIdentifier] = BOTH_USAGES,
        begins: datetime.datetime | None = None,
        ends: datetime.datetime | None = None,
        intermediates: str = "",
    ) -> Identity:
        """Any leaf at all. ``intermediates`` (PEM) are appended to the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self.name, key, self.key, is_ca=is_ca, begins=begins, ends=ends)
        if uris or dns:
            builder = builder.add_extension(_uris(uris, dns), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        digits = f"{certificate.serial_number:x}"
        digits = digits.zfill(len(digits) + len(digits) % 2)
        return Identity(
            uri=uris[0] if uris else "",
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode() + intermediates,
            private_key_pem=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ).decode(),
            serial=":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
            valid_after=certificate.not_valid_before_utc,
            valid_before=certificate.not_valid_after_utc,
        )

    def _self_signed(self) -> x509.Certificate:
        builder = _builder(self.name, self.name, self.key, self.key, is_ca=True, ends_in=3650 * _DAY)
        builder = builder.add_extension(_uris([f"spiffe://{self.trust_domain}"]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def client_context(identity: Identity | None, roots_pem: str) -> ssl.SSLContext:
    """Dial a sidecar's public listener as *identity* (None: without a certificate).

    Checks the chain only, as Connect does; who answered is for the test to look at.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=roots_pem)
    if identity is not None:
        _load(context, identity)
    return context


def server_context(identity: Identity, roots_pem: str) -> ssl.SSLContext:
    """Answer as a sidecar's public listener does: a client certificate under *roots_pem* is required."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=roots_pem)
    _load(context, identity)
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "identity.pem"
        pem.write_text(identity.certificate_pem + identity.private_key_pem)
        context.load_cert_chain(pem)


def _uris(uris: Sequence[str], dns: Sequence[str] = ()) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [*(x509.UniformResourceIdentifier(uri) for uri in uris), *(x509.DNSName(name) for name in dns)]
    )


def _builder(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
    begins: datetime.datetime | None = None,
    ends: datetime.datetime | None = None,
    ends_in: datetime.timedelta = 3 * _DAY,
) -> x509.CertificateBuilder:
    """Consul's profile: leaves 72 hours, a minute of the past included; key usages as in its agent."""
    now = datetime.datetime.now(datetime.UTC)
    begins = begins or now - _MINUTE
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends or begins + ends_in)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=not is_ca,
                data_encipherment=not is_ca,
                key_agreement=not is_ca,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                content_commitment=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
