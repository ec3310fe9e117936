"""The same decision as RBAC's and Consul's, at the handshake."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy_envoy.resources.admission import MAX_NAMES, admitted, complement
from support.envoy_snapshot import TRUST_DOMAIN, intention
from support.intention_sets import consul_decides, intention_sets

_TEXT = st.text(alphabet="ab.-]^\\[", max_size=5)
_OPEN_SOURCE = intention_sets(namespaces=["default"])


def _takes(patterns: tuple[str, ...] | None, uri: str) -> bool:
    return patterns is None or any(re.fullmatch(pattern, uri) for pattern in patterns)


@given(words=st.lists(_TEXT, max_size=6), text=_TEXT)
def test_the_complement_matches_every_other_text(words: list[str], text: str) -> None:
    assert bool(re.fullmatch(complement(words), text)) is (text != "" and text not in words)


@given(words=st.lists(_TEXT, min_size=1), text=_TEXT)
def test_no_text_with_a_slash_is_in_a_complement(words: list[str], text: str) -> None:
    assert not re.fullmatch(complement(words), f"{text}/x")


@given(
    intentions=_OPEN_SOURCE,
    default=st.booleans(),
    name=st.sampled_from(["web", "w.b", "web-2", "wxb", "other", "we", "webb"]),
    datacenter=st.sampled_from(["dc1", "dc2"]),
)
def test_the_handshake_decides_as_consul_does(
    intentions: list[Intention], default: bool, name: str, datacenter: str
) -> None:
    patterns = admitted(intentions, default_allow=default, trust_domain=TRUST_DOMAIN)
    caller = ServiceIdentity(trust_domain=TRUST_DOMAIN, datacenter=datacenter, service=name)
    allowed = consul_decides(intentions, default=default, namespace="default", name=name)
    assert _takes(patterns, caller.uri) is allowed


@given(
    intentions=intention_sets(namespaces=["default", "team"]),
    default=st.booleans(),
    namespace=st.sampled_from(["default", "team", "else"]),
    name=st.sampled_from(["web", "w.b", "other"]),
)
def test_nobody_that_is_allowed_is_turned_away_whatever_the_namespaces(
    intentions: list[Intention], default: bool, namespace: str, name: str
) -> None:
    patterns = admitted(intentions, default_allow=default, trust_domain=TRUST_DOMAIN)
    caller = ServiceIdentity(trust_domain=TRUST_DOMAIN, namespace=namespace, datacenter="dc1", service=name)
    if consul_decides(intentions, default=default, namespace=namespace, name=name):
        assert _takes(patterns, caller.uri)


def test_where_everybody_is_allowed_the_handshake_asks_for_nothing_more() -> None:
    assert admitted([], default_allow=True, trust_domain="td") is None
    assert admitted([intention("web", allow=True)], default_allow=True, trust_domain="td") is None


def test_where_nobody_is_allowed_no_certificate_will_do() -> None:
    assert admitted([], default_allow=False, trust_domain="td") == ()


def test_callers_of_other_partitions_are_left_to_rbac_where_anybody_may_call() -> None:
    patterns = admitted([intention("web", allow=False)], default_allow=True, trust_domain="td")
    assert _takes(patterns, "spiffe://td/ap/p1/ns/default/dc/dc1/svc/web")
    assert not _takes(patterns, "spiffe://td/ns/default/dc/dc1/svc/web")


def test_another_trust_domain_is_turned_away() -> None:
    patterns = admitted([intention("web", allow=False)], default_allow=True, trust_domain="a.consul")
    assert _takes(patterns, "spiffe://a.consul/ns/default/dc/dc1/svc/api")
    assert not _takes(patterns, "spiffe://axconsul/ns/default/dc/dc1/svc/api")


def test_very_many_rules_are_left_to_rbac() -> None:
    rules = [intention(f"s{number}", allow=False) for number in range(MAX_NAMES + 1)]
    assert admitted(rules, default_allow=True, trust_domain="td") is None
    assert admitted(rules[1:], default_allow=True, trust_domain="td") is not None
