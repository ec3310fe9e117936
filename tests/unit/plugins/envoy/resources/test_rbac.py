"""Intentions as RBAC: the example of Consul's documentation, and the same decisions for any set."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy_envoy.resources.rbac import escaped, rbac_rules
from support.envoy_snapshot import TRUST_DOMAIN, intention
from support.intention_sets import NAMES, consul_decides, decides, intention_sets

NAMESPACES = ["default", "team"]


@given(
    intentions=intention_sets(namespaces=NAMESPACES),
    default=st.booleans(),
    namespace=st.sampled_from(NAMESPACES),
    name=st.sampled_from([*NAMES, "other"]),
    datacenter=st.sampled_from(["dc1", "dc2"]),
)
def test_envoy_decides_as_consul_does(
    intentions: list[Intention], default: bool, namespace: str, name: str, datacenter: str
) -> None:
    rules = rbac_rules(intentions, default_allow=default, trust_domain=TRUST_DOMAIN)
    caller = ServiceIdentity(
        trust_domain=TRUST_DOMAIN, namespace=namespace, datacenter=datacenter, service=name
    )
    assert decides(rules, caller.uri) == consul_decides(
        intentions, default=default, namespace=namespace, name=name
    )


def test_the_exceptions_of_a_wildcard_are_listed_from_the_bottom() -> None:
    rules = rbac_rules(
        [
            intention("web", allow=True),
            intention("unsafe", allow=False),
            intention("cron", allow=True),
            intention("*", allow=True),
        ],
        default_allow=False,
        trust_domain="td",
    )
    principals = rules["policies"]["consul-intentions-layer4"]["principals"]
    assert "action" not in rules
    assert [_names(principal) for principal in principals] == [
        ["cron"],
        ["web"],
        ["[^/]+", "not web", "not unsafe", "not cron"],
    ]


def test_without_rules_the_default_decides() -> None:
    assert rbac_rules([], default_allow=False, trust_domain="td") == {}
    assert rbac_rules([], default_allow=True, trust_domain="td") == {"action": "DENY"}


def test_a_broad_denial_of_higher_precedence_is_not_opened_by_a_narrow_rule_below_it() -> None:
    rules = rbac_rules(
        [intention("*", allow=False), intention("foo", allow=True, destination="*")],
        default_allow=False,
        trust_domain=TRUST_DOMAIN,
    )
    assert rules == {}


def test_a_name_is_taken_literally() -> None:
    rules = rbac_rules([intention("w.b", allow=True)], default_allow=False, trust_domain=TRUST_DOMAIN)
    assert decides(rules, f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/w.b")
    assert not decides(rules, f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/wxb")


def test_another_trust_domain_is_nobody() -> None:
    rules = rbac_rules([intention("*", allow=True)], default_allow=False, trust_domain="a.consul")
    assert not decides(rules, "spiffe://axconsul/ns/default/dc/dc1/svc/web")


def test_a_rule_for_a_peer_is_left_out() -> None:
    rules = rbac_rules(
        [intention("web", allow=True, source_peer="other")], default_allow=False, trust_domain="td"
    )
    assert rules == {}


def test_a_partition_stands_before_the_namespace() -> None:
    rules = rbac_rules(
        [intention("web", allow=True, source_partition="p1")], default_allow=False, trust_domain="td"
    )
    [principal] = rules["policies"]["consul-intentions-layer4"]["principals"]
    regex = principal["authenticated"]["principalName"]["safeRegex"]["regex"]
    assert regex == "^spiffe://td/ap/p1/ns/default/dc/[^/]+/svc/web$"


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_an_escaped_text_matches_itself_only(text: str) -> None:
    assert re.fullmatch(escaped(text), text)
    assert not re.fullmatch(escaped(text), text + "x")


def _names(principal: dict[str, Any]) -> list[str]:
    entries = principal["andIds"]["ids"] if "andIds" in principal else [principal]
    names = []
    for entry in entries:
        prefix, inner = ("not ", entry["notId"]) if "notId" in entry else ("", entry)
        regex = inner["authenticated"]["principalName"]["safeRegex"]["regex"]
        names.append(prefix + regex.rpartition("/svc/")[2].removesuffix("$"))
    return names
