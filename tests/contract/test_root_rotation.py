"""``PUT /v1/connect/ca/configuration``: a new root takes over while the old one stays trusted.

Each test has an agent of its own: a rotated root would be in the way of the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.agents import AgentUnderTest
from support.embedded_agent import EmbeddedAgent
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.contract

CONFIGURATION = "/v1/connect/ca/configuration"
ROOTS = "/v1/agent/connect/ca/roots"
LEAF = "/v1/agent/connect/ca/leaf"


@pytest.fixture(params=["embedded", "consul"])
def own_agent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AgentUnderTest]:
    started: contextlib.AbstractContextManager[AgentUnderTest]
    started = EmbeddedAgent(folder=tmp_path) if request.param == "embedded" else RealConsul(folder=tmp_path)
    with started as agent:
        yield agent


def _rotate(agent: AgentUnderTest) -> None:
    """As an operator does: a new private key for the built-in provider."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    body = {"Provider": "consul", "Config": {"PrivateKey": key.decode(), "LeafCertTTL": "72h"}}
    answer = agent.api.put(CONFIGURATION, body)
    assert answer.status == 200, answer.text


def _both_roots(agent: AgentUnderTest) -> dict[str, Any]:
    """Once the agent, which has them cached, knows of the new one."""

    def both() -> dict[str, Any] | None:
        roots: dict[str, Any] = agent.api.get(ROOTS).json
        return roots if len(roots["Roots"]) == 2 else None

    return wait_until(both, "the new root") or {}


def _certificates(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def _root(roots: dict[str, Any], *, active: bool) -> x509.Certificate:
    (pem,) = (root["RootCert"] for root in roots["Roots"] if root["Active"] is active)
    return _certificates(pem)[0]


def test_the_configuration_is_shown(own_agent: AgentUnderTest) -> None:
    shown = own_agent.api.get(CONFIGURATION).json
    assert shown["Provider"] == "consul"
    assert shown["Config"]["LeafCertTTL"] == "72h"
    assert "PrivateKey" not in shown["Config"]


def test_the_leafs_lifetime_is_a_setting(own_agent: AgentUnderTest) -> None:
    before = own_agent.api.get(ROOTS).json
    body = {"Provider": "consul", "Config": {"LeafCertTTL": "24h", "RotationPeriod": "2160h"}}
    assert own_agent.api.put(CONFIGURATION, body).status == 200
    (leaf, *_) = _certificates(own_agent.api.get(f"{LEAF}/fresh").json["CertPEM"])
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 24 * 3600
    assert own_agent.api.get(ROOTS).json["ActiveRootID"] == before["ActiveRootID"]


def test_an_unknown_provider_is_refused(own_agent: AgentUnderTest) -> None:
    answer = own_agent.api.put(CONFIGURATION, {"Provider": "tubes", "Config": {}})
    assert (answer.status, 'unknown CA provider "tubes"' in answer.text) == (500, True)


def test_a_body_that_cannot_be_read_is_refused(own_agent: AgentUnderTest) -> None:
    answer = own_agent.api.put(CONFIGURATION, b"{")
    assert (answer.status, "Request decode failed" in answer.text) == (400, True)


def test_a_lifetime_out_of_range_is_refused(own_agent: AgentUnderTest) -> None:
    body = {"Provider": "consul", "Config": {"LeafCertTTL": "1m"}}
    answer = own_agent.api.put(CONFIGURATION, body)
    assert (answer.status, "leaf cert TTL must be greater" in answer.text) == (500, True)


def test_the_old_root_stays_listed_and_is_inactive(own_agent: AgentUnderTest) -> None:
    before = own_agent.api.get(ROOTS)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(own_agent.api.get, ROOTS, index=before.index, wait="20s")
        _rotate(own_agent)
        after = blocked.result()
    assert after.index > before.index
    roots = _both_roots(own_agent)
    assert roots["TrustDomain"] == before.json["TrustDomain"]
    assert roots["ActiveRootID"] != before.json["ActiveRootID"]
    states = {root["ID"]: root["Active"] for root in roots["Roots"]}
    assert states == {before.json["ActiveRootID"]: False, roots["ActiveRootID"]: True}


def test_a_new_leaf_verifies_under_both_roots(own_agent: AgentUnderTest) -> None:
    own_agent.api.get(f"{LEAF}/web")
    _rotate(own_agent)
    roots = _both_roots(own_agent)
    leaf, *intermediates = _certificates(own_agent.api.get(f"{LEAF}/fresh").json["CertPEM"])
    leaf.verify_directly_issued_by(_root(roots, active=True))
    # Who still trusts the old root alone follows the cross-signed certificate.
    (cross_signed,) = intermediates
    leaf.verify_directly_issued_by(cross_signed)
    cross_signed.verify_directly_issued_by(_root(roots, active=False))
    assert cross_signed.public_key() == _root(roots, active=True).public_key()


def test_a_leaf_in_use_is_issued_anew(own_agent: AgentUnderTest) -> None:
    """Consul spreads this over up to 30 seconds."""
    before = own_agent.api.get(f"{LEAF}/web")
    _rotate(own_agent)
    index, renewed = before.index, before
    while renewed.json["SerialNumber"] == before.json["SerialNumber"]:
        renewed = own_agent.api.get(f"{LEAF}/web", index=index, wait="25s")
        index = renewed.index
    (leaf, *_) = _certificates(renewed.json["CertPEM"])
    leaf.verify_directly_issued_by(_root(_both_roots(own_agent), active=True))
    assert renewed.json["ServiceURI"] == before.json["ServiceURI"]
    assert renewed.json["PrivateKeyPEM"] != before.json["PrivateKeyPEM"]
