from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.ca import profile

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
CLUSTER = "0526cf7f-2f74-5d48-f5f4-fa15fed624d8"
URI = f"spiffe://{CLUSTER}.consul/ns/default/dc/dc1/svc/web"


@pytest.fixture(scope="module")
def signer() -> profile.Signer:
    key = profile.new_key("ec", 256)
    root = profile.self_signed_root(key=key, cluster_id=CLUSTER, serial=7, now=NOW)
    return profile.Signer(certificate=root, key=key)


@pytest.fixture(scope="module")
def leaf(signer: profile.Signer) -> x509.Certificate:
    return profile.leaf(
        service="web",
        uri=URI,
        key=ec.generate_private_key(ec.SECP256R1()).public_key(),
        by=signer,
        serial=8,
        now=NOW,
        life=timedelta(hours=72),
    )


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_a_root_is_a_ca_of_ten_years_that_names_the_trust_domain(signer: profile.Signer) -> None:
    root = signer.certificate
    assert root.serial_number == 7
    assert root.not_valid_before_utc == NOW
    assert root.not_valid_after_utc - NOW > timedelta(days=3650)
    assert profile.uri_of(root) == f"spiffe://{CLUSTER}.consul"
    assert common_name(root).startswith("pri-")
    assert common_name(root).endswith(".consul.ca.0526cf7f.consul")
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca
    usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, True, True)
    assert not usage.key_agreement
    root.verify_directly_issued_by(root)


def test_a_leaf_names_its_service_in_one_uri_and_no_host_name(leaf: x509.Certificate) -> None:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(URI)]
    assert common_name(leaf) == "web.svc.default.0526cf7f.consul"


def test_a_leaf_serves_both_sides_of_a_connection(leaf: x509.Certificate, signer: profile.Signer) -> None:
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_encipherment, usage.value.data_encipherment, usage.value.key_agreement) == (
        True,
        True,
        True,
    )
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf.verify_directly_issued_by(signer.certificate)


def test_a_leaf_is_valid_from_a_minute_ago_for_exactly_its_life(leaf: x509.Certificate) -> None:
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=1)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=72)


def test_key_ids_are_the_whole_sha256_of_the_public_key(
    leaf: x509.Certificate, signer: profile.Signer
) -> None:
    own = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own.digest == profile.key_id(profile.public_key_of(leaf))
    assert issuer.key_identifier == profile.key_id(signer.key.public_key())
    assert len(own.digest) == 32


def test_a_cross_signed_root_is_the_same_ca_under_the_older_one(signer: profile.Signer) -> None:
    key = profile.new_key("ec", 256)
    root = profile.self_signed_root(key=key, cluster_id=CLUSTER, serial=9, now=NOW)
    crossed = profile.cross_sign(root, by=signer, serial=10, now=NOW)
    assert (crossed.subject, profile.uri_of(crossed)) == (root.subject, profile.uri_of(root))
    assert profile.key_id(profile.public_key_of(crossed)) == profile.key_id(key.public_key())
    assert crossed.not_valid_after_utc - crossed.not_valid_before_utc == timedelta(days=7)
    crossed.verify_directly_issued_by(signer.certificate)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("web", "web.svc.default.0526cf7f.consul"),
        ("Web-1_x.y", "web1xy.svc.default.0526cf7f.consul"),
        ("a" * 200, "a" * 36 + ".svc.default.0526cf7f.consul"),
    ],
)
def test_the_common_name_has_letters_and_digits_and_fits(service: str, name: str) -> None:
    assert profile.leaf_common_name(service, URI) == name
    assert len(name) <= 64


@pytest.mark.parametrize(("serial", "text"), [(8, "08"), (2591, "0a:1f"), (0x40000, "04:00:00"), (0, "00")])
def test_serials_are_written_as_colon_hex(serial: int, text: str) -> None:
    assert profile.serial_hex(serial) == text


@given(st.integers(min_value=0, max_value=2**160))
def test_a_written_serial_reads_back_as_the_same(serial: int) -> None:
    assert int(profile.serial_hex(serial).replace(":", ""), 16) == serial


@pytest.mark.parametrize(("kind", "bits"), [("ec", 256), ("ec", 384), ("rsa", 2048)])
def test_a_key_survives_its_pem(kind: str, bits: int) -> None:
    key = profile.new_key(kind, bits)
    pem = profile.key_pem(key)
    assert pem.startswith(f"-----BEGIN {kind.upper()} PRIVATE KEY-----\n")
    assert profile.key_id(profile.load_key(pem).public_key()) == profile.key_id(key.public_key())


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="PEM"):
        profile.load_key("no key")
