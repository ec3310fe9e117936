from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from connect_proxy.errors import PeerRefusedError
from connect_proxy_builtin.tls.peer_identity import Fault, PeerIdentities, colon_hex, identity_of
from support.mesh_ca import Identity, MeshCa


def der(identity: Identity) -> bytes:
    """Of the leaf, without what follows it."""
    leaf = identity.certificate_pem.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(leaf)


def check(ca: MeshCa, identity: Identity) -> str:
    return PeerIdentities(ca.trust_domain).check(der(identity)).uri


def test_a_leaf_of_consuls_profile_gives_its_service(mesh_ca: MeshCa) -> None:
    leaf = mesh_ca.leaf("web")
    found = identity_of(der(leaf), trust_domain=mesh_ca.trust_domain)
    assert found.uri == leaf.uri
    assert found.identity.service == "web"
    assert found.serial == leaf.serial
    assert found.valid_before == leaf.valid_before.timestamp()


def test_identities_compare_without_case(mesh_ca: MeshCa) -> None:
    found = identity_of(der(mesh_ca.leaf("WEB")), trust_domain=mesh_ca.trust_domain.upper().lower())
    assert found.normal_uri == mesh_ca.uri("web")


FLAWS: list[tuple[Callable[[MeshCa], Identity], Fault]] = [
    (lambda ca: ca.expired_leaf("web"), Fault.EXPIRED),
    (lambda ca: ca.leaf_without_uri("web"), Fault.NO_URI),
    (lambda ca: ca.leaf_with_two_uris("web", "db"), Fault.SEVERAL_URIS),
    (lambda ca: ca.ca_leaf("web"), Fault.AUTHORITY),
    (lambda ca: ca.foreign_leaf("web"), Fault.TRUST_DOMAIN),
    (lambda ca: ca.gateway_leaf(), Fault.NOT_A_SERVICE),
    (lambda ca: ca.agent_leaf(), Fault.NOT_A_SERVICE),
    (lambda ca: ca.issue([f"spiffe://{ca.trust_domain}"], name="ca"), Fault.NOT_A_SERVICE),
    (
        lambda ca: ca.issue(["https://example.test/ns/default/dc/dc1/svc/web"], name="x"),
        Fault.NOT_A_SERVICE,
    ),
    (lambda ca: ca.issue([ca.uri("web") + "?a=b"], name="x"), Fault.NOT_A_SERVICE),
]


@pytest.mark.parametrize(("issue", "fault"), FLAWS)
def test_a_flawed_certificate_is_refused(
    mesh_ca: MeshCa, issue: Callable[[MeshCa], Identity], fault: Fault
) -> None:
    with pytest.raises(PeerRefusedError) as caught:
        check(mesh_ca, issue(mesh_ca))
    assert caught.value.reason == fault.value


def test_no_certificate_is_refused(mesh_ca: MeshCa) -> None:
    with pytest.raises(PeerRefusedError, match="no certificate"):
        PeerIdentities(mesh_ca.trust_domain).check(None)


def test_a_certificate_that_was_good_is_refused_once_it_has_expired(
    mesh_ca: MeshCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = PeerIdentities(mesh_ca.trust_domain)
    leaf = mesh_ca.leaf("web")
    assert identities.check(der(leaf)).uri == leaf.uri
    monkeypatch.setattr("time.time", leaf.valid_before.timestamp)
    with pytest.raises(PeerRefusedError, match="expired"):
        identities.check(der(leaf))


@given(st.binary())
def test_bytes_that_are_no_certificate_are_refused_and_nothing_else_happens(noise: bytes) -> None:
    with pytest.raises(PeerRefusedError):
        PeerIdentities("x.consul").check(noise)


GOOD = MeshCa()
GOOD_DER = der(GOOD.leaf("web"))


# Of serial numbers and versions that the standard forbids, cryptography warns before it refuses.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@example(at=15, bit=7)  # a negative serial number
@given(at=st.integers(0, len(GOOD_DER) - 1), bit=st.integers(0, 7))
def test_a_damaged_certificate_is_read_or_refused_but_never_raises_anything_else(at: int, bit: int) -> None:
    damaged = bytearray(GOOD_DER)
    damaged[at] ^= 1 << bit
    try:
        found = identity_of(bytes(damaged), trust_domain=GOOD.trust_domain)
    except PeerRefusedError:
        return
    assert found.identity.trust_domain == GOOD.trust_domain


@pytest.mark.parametrize(("number", "text"), [(0, "00"), (8, "08"), (0x0A1F, "0a:1f"), (0x1FF, "01:ff")])
def test_a_serial_is_written_as_consul_writes_it(number: int, text: str) -> None:
    assert colon_hex(number) == text


@pytest.mark.parametrize(
    "flawed", [{"digital_signature": False}, {"key_cert_sign": True}, {"crl_sign": True}]
)
def test_a_wrong_key_usage_is_refused(mesh_ca: MeshCa, flawed: dict[str, bool]) -> None:
    with pytest.raises(PeerRefusedError) as caught:
        identity_of(with_usage(mesh_ca, **flawed), trust_domain=mesh_ca.trust_domain)
    assert caught.value.reason == Fault.KEY_USAGE.value


def with_usage(ca: MeshCa, **flags: bool) -> bytes:
    """A leaf with exactly these key usages beside digitalSignature."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    good = x509.load_der_x509_certificate(der(ca.leaf("web")))
    names = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
    usage = x509.KeyUsage(**(names | {"digital_signature": True} | flags))
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(5)
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
        .add_extension(usage, critical=True)
    )
    san = good.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    signed = builder.add_extension(san, critical=False).sign(ca.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)
