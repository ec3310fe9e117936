from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.changes import ROOTS, Changes
from connect_proxy.errors import ApiError
from connect_proxy.secret import MASK

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CLUSTER = "0526cf7f-2f74-5d48-f5f4-fa15fed624d8"


@pytest.fixture
def authority() -> Authority:
    return Authority(cluster_id=CLUSTER, changes=Changes(), now=NOW)


def configure(authority: Authority, now: datetime = NOW, **config: Any) -> None:
    authority.configure({"Provider": "consul", "Config": config}, now=now)


def new_key() -> str:
    return profile.key_pem(profile.new_key("ec", 256))


def test_there_is_one_active_root_from_the_start(authority: Authority) -> None:
    (root,) = authority.roots
    assert root.active
    assert root.id == profile.fingerprint(root.certificate)
    assert authority.trust_domain == f"{CLUSTER}.consul"
    assert authority.configuration.leaf_life == timedelta(hours=72)


def test_another_life_of_leaves_keeps_the_root(authority: Authority) -> None:
    before = authority.roots
    configure(authority, LeafCertTTL="2h")
    assert authority.roots == before
    assert authority.configuration.leaf_life == timedelta(hours=2)


def test_another_key_makes_another_root_signed_by_the_old_one(authority: Authority) -> None:
    old, index = authority.active, authority.changes.index(ROOTS)
    configure(authority, PrivateKey=new_key())
    retired, new = authority.roots
    assert (retired.id, retired.active, new.active) == (old.id, False, True)
    (crossed,) = new.intermediates
    crossed.verify_directly_issued_by(old.certificate)
    assert profile.uri_of(new.certificate) == f"spiffe://{CLUSTER}.consul"
    assert authority.changes.index(ROOTS) > index


def test_the_same_key_again_keeps_the_root(authority: Authority) -> None:
    key = new_key()
    configure(authority, PrivateKey=key)
    roots = authority.roots
    configure(authority, PrivateKey=key, LeafCertTTL="3h")
    assert authority.roots == roots


def test_a_masked_key_means_the_key_in_force(authority: Authority) -> None:
    configure(authority, PrivateKey=new_key())
    roots = authority.roots
    configure(authority, PrivateKey=MASK, LeafCertTTL="3h")
    assert authority.roots == roots


def test_without_cross_signing_the_new_root_stands_alone(authority: Authority) -> None:
    request = {
        "Provider": "consul",
        "Config": {"PrivateKey": new_key()},
        "ForceWithoutCrossSigning": True,
    }
    authority.configure(request, now=NOW)
    assert authority.active.intermediates == ()


def test_a_root_may_be_given_with_its_key(authority: Authority) -> None:
    key = profile.new_key("ec", 256)
    root = profile.self_signed_root(key=key, cluster_id=CLUSTER, serial=99, now=NOW)
    configure(authority, PrivateKey=profile.key_pem(key), RootCert=profile.pem_of(root))
    assert authority.active.certificate == root


def test_an_rsa_key_can_be_asked_for(authority: Authority) -> None:
    configure(authority, PrivateKeyType="rsa", PrivateKeyBits=2048)
    assert profile.key_kind(authority.active.certificate) == ("rsa", 2048)


def test_a_retired_root_is_dropped_after_two_lives_of_a_leaf(authority: Authority) -> None:
    configure(authority, PrivateKey=new_key(), LeafCertTTL="1h")
    authority.prune(now=NOW + timedelta(hours=1, minutes=59))
    assert len(authority.roots) == 2
    index = authority.changes.index(ROOTS)
    authority.prune(now=NOW + timedelta(hours=2))
    assert [root.active for root in authority.roots] == [True]
    assert authority.changes.index(ROOTS) > index


@pytest.mark.parametrize(
    ("request_body", "text"),
    [
        ({}, 'could not initialize provider: unknown CA provider ""'),
        ({"Provider": "vault"}, 'could not initialize provider: unknown CA provider "vault"'),
        (
            {"Config": {"LeafCertTTL": "1m"}},
            "error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s",
        ),
        (
            {"Config": {"LeafCertTTL": "9000h"}},
            "error configuring provider: leaf cert TTL must be less than 8760h0m0s",
        ),
        (
            {"Config": {"LeafCertTTL": "x"}},
            "error configuring provider: error decoding config: 1 error(s) decoding:\n\n"
            "* error decoding 'LeafCertTTL': time: invalid duration \"x\"",
        ),
        (
            {"Config": {"PrivateKeyType": "dsa"}},
            "error configuring provider: private key type must be either 'ec' or 'rsa'",
        ),
        ({"Config": {"PrivateKeyBits": 100}}, "EC key length must be one of 224, 256, 384, 521"),
        ({"Config": {"PrivateKey": "xx"}}, "error parsing private key"),
        (
            {"Config": {"RootCert": "xx", "PrivateKey": "x"}},
            "error parsing root fingerprint: no PEM-encoded data found",
        ),
    ],
)
def test_a_mistake_is_refused_and_changes_nothing(
    authority: Authority, request_body: dict[str, Any], text: str
) -> None:
    before = (authority.roots, authority.configuration)
    body = {"Provider": "consul", **request_body} if request_body.get("Config") else request_body
    with pytest.raises(ApiError) as caught:
        authority.configure(body, now=NOW)
    assert text in str(caught.value)
    assert (authority.roots, authority.configuration) == before


@pytest.mark.parametrize("cluster", [CLUSTER, "another"])
def test_a_root_that_does_not_fit_is_refused(authority: Authority, cluster: str) -> None:
    key = profile.new_key("ec", 256)
    root = profile.self_signed_root(key=key, cluster_id=cluster, serial=99, now=NOW)
    other = new_key() if cluster == CLUSTER else profile.key_pem(key)
    with pytest.raises(ApiError, match=r"does not belong to the root|certificate names"):
        configure(authority, PrivateKey=other, RootCert=profile.pem_of(root))


def test_a_refused_key_is_not_quoted(authority: Authority) -> None:
    with pytest.raises(ApiError) as caught:
        configure(authority, PrivateKey="-----BEGIN s3cret")
    assert "s3cret" not in str(caught.value)
