"""Roots and leaves: Consul's answers and the X.509 profile of what is in them."""

from __future__ import annotations

import datetime
import hashlib
import json
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract

ROOTS = "/v1/agent/connect/ca/roots"
LEAF = "/v1/agent/connect/ca/leaf"


def _leaf_certificate(agent: AgentUnderTest, service: str = "web") -> x509.Certificate:
    return x509.load_pem_x509_certificates(agent.api.get(f"{LEAF}/{service}").json["CertPEM"].encode())[0]


def _active_root(agent: AgentUnderTest) -> x509.Certificate:
    (root,) = (root for root in agent.api.get(ROOTS).json["Roots"] if root["Active"])
    return x509.load_pem_x509_certificate(root["RootCert"].encode())


def _uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == 1, "the URI is the only subject alternative name"
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _usages(certificate: x509.Certificate) -> set[str]:
    extension = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert extension.critical
    usage = extension.value
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    return {name for name in (*names.split(), "key_cert_sign", "crl_sign") if getattr(usage, name)}


def test_roots_name_the_trust_domain_and_the_active_root(agent: AgentUnderTest) -> None:
    answer = agent.api.get(ROOTS)
    roots = answer.json
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.consul", roots["TrustDomain"])
    (active,) = (root for root in roots["Roots"] if root["Active"])
    assert roots["ActiveRootID"] == active["ID"]
    assert active["ExternalTrustDomain"] == roots["TrustDomain"].removesuffix(".consul")
    assert answer.headers["x-cache"] in ("HIT", "MISS")


def test_the_servers_endpoint_lists_the_same_roots(agent: AgentUnderTest) -> None:
    assert agent.api.get("/v1/connect/ca/roots").json == agent.api.get(ROOTS).json


def test_the_fields_of_a_root_describe_its_certificate(agent: AgentUnderTest) -> None:
    for root in agent.api.get(ROOTS).json["Roots"]:
        certificate = x509.load_pem_x509_certificate(root["RootCert"].encode())
        digest = hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        assert root["ID"] == _colons(digest)
        assert root["SerialNumber"] == certificate.serial_number
        key_id = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert root["SigningKeyID"] == _colons(key_id.hex())
        assert root["NotAfter"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        assert (root["PrivateKeyType"], root["PrivateKeyBits"]) == ("ec", 256)


def test_no_private_key_of_the_ca_is_given_out(agent: AgentUnderTest) -> None:
    answer = agent.api.get(ROOTS)
    assert "PRIVATE" not in answer.text
    assert not {"PrivateKey", "SigningKey", "SigningCert"} & set(answer.json["Roots"][0])


def test_the_root_is_a_ca_of_the_trust_domain(agent: AgentUnderTest) -> None:
    root = _active_root(agent)
    domain = agent.api.get(ROOTS).json["TrustDomain"]
    assert root.issuer == root.subject
    root.verify_directly_issued_by(root)
    assert _uris(root) == [f"spiffe://{domain}"]
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, True)
    assert _usages(root) == {"digital_signature", "key_cert_sign", "crl_sign"}
    lifetime = root.not_valid_after_utc - root.not_valid_before_utc
    assert datetime.timedelta(days=3650) <= lifetime <= datetime.timedelta(days=3653)
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_the_leaf_answer_describes_its_certificate(agent: AgentUnderTest) -> None:
    answer = agent.api.get(f"{LEAF}/web")
    leaf = answer.json
    certificate = x509.load_pem_x509_certificates(leaf["CertPEM"].encode())[0]
    digits = f"{certificate.serial_number:x}"
    assert leaf["SerialNumber"] == _colons(digits.zfill(len(digits) + len(digits) % 2))
    assert leaf["Service"] == "web"
    assert _uris(certificate) == [leaf["ServiceURI"]]
    assert leaf["ValidAfter"] == f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert leaf["ValidBefore"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert answer.index == leaf["ModifyIndex"]


def test_the_leaf_carries_the_services_identity(agent: AgentUnderTest) -> None:
    domain = agent.api.get(ROOTS).json["TrustDomain"]
    leaf = agent.api.get(f"{LEAF}/web").json
    assert leaf["ServiceURI"] == f"spiffe://{domain}/ns/default/dc/dc1/svc/web"


def test_the_leaf_has_consuls_profile(agent: AgentUnderTest) -> None:
    leaf = _leaf_certificate(agent)
    assert leaf.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert _usages(leaf) == {"digital_signature", "key_encipherment", "data_encipherment", "key_agreement"}
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def test_the_leaf_lives_for_three_days_from_a_minute_ago(agent: AgentUnderTest) -> None:
    leaf = _leaf_certificate(agent, "just-now")
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == datetime.timedelta(hours=72)
    age = datetime.datetime.now(datetime.UTC) - leaf.not_valid_before_utc
    assert datetime.timedelta(minutes=1) <= age <= datetime.timedelta(minutes=3)


def test_key_ids_are_sha256_of_the_public_key(agent: AgentUnderTest) -> None:
    leaf, root = _leaf_certificate(agent), _active_root(agent)
    for certificate in (leaf, root):
        raw = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(raw)
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert identifier.digest == digest.finalize()
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == subject.digest


def test_the_leaf_is_signed_by_the_active_root(agent: AgentUnderTest) -> None:
    _leaf_certificate(agent, "fresh").verify_directly_issued_by(_active_root(agent))


def test_the_private_key_is_the_leafs(agent: AgentUnderTest) -> None:
    leaf = agent.api.get(f"{LEAF}/web").json
    assert leaf["PrivateKeyPEM"].startswith("-----BEGIN EC PRIVATE KEY-----")
    key = serialization.load_pem_private_key(leaf["PrivateKeyPEM"].encode(), password=None)
    certificate = x509.load_pem_x509_certificates(leaf["CertPEM"].encode())[0]
    assert key.public_key() == certificate.public_key()


def test_the_service_need_not_exist(agent: AgentUnderTest) -> None:
    assert agent.api.get(f"{LEAF}/nobody").json["Service"] == "nobody"


def test_a_leaf_is_kept_and_not_made_anew(agent: AgentUnderTest) -> None:
    first, second = (agent.api.get(f"{LEAF}/web") for _ in range(2))
    assert first.json == second.json
    assert second.headers["x-cache"] == "HIT"


def test_services_have_leaves_of_their_own(agent: AgentUnderTest) -> None:
    web, api = (agent.api.get(f"{LEAF}/{name}").json for name in ("web", "api"))
    assert web["SerialNumber"] != api["SerialNumber"]
    assert web["PrivateKeyPEM"] != api["PrivateKeyPEM"]


@pytest.mark.parametrize("path", [ROOTS, f"{LEAF}/web"])
@pytest.mark.parametrize("beyond", [0, 1000])
def test_without_a_change_the_same_comes_again(agent: AgentUnderTest, path: str, beyond: int) -> None:
    first = agent.api.get(path)
    again = agent.api.get(path, index=first.index + beyond, wait="100ms")
    assert (again.status, again.index, json.loads(again.body)) == (200, first.index, first.json)


def test_the_servers_roots_are_given_as_pem_too(agent: AgentUnderTest) -> None:
    answer = agent.api.get("/v1/connect/ca/roots", pem="true")
    assert answer.headers["content-type"] == "application/pem-certificate-chain"
    roots = agent.api.get(ROOTS).json["Roots"]
    assert len(x509.load_pem_x509_certificates(answer.body)) == len(roots)


def test_who_asks_with_a_small_index_is_answered_at_once(agent: AgentUnderTest) -> None:
    """Also for a leaf that nobody has asked for: so do sidecars ask that lost their agent for a while."""
    for _ in range(2):
        answer = agent.api.get(f"{LEAF}/never-asked-for", index=1, wait="10m")
        assert (answer.status, answer.index > 1) == (200, True)
