"""Sets of intentions for property tests, and what Consul says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from connect_proxy.mesh.intentions import Intention, by_precedence

NAMES = ["web", "w.b", "web-2", "wxb"]


def consul_decides(intentions: Sequence[Intention], *, default: bool, namespace: str, name: str) -> bool:
    """Consul's rule: the first that matches, in order of precedence."""
    for rule in by_precedence(intentions):
        if rule.matches_source(namespace=namespace, name=name):
            return rule.allow and not rule.has_permissions
    return default


def decides(rules: dict[str, Any], uri: str) -> bool:
    """What Envoy's filter says to a caller: a small evaluator of the JSON."""
    matched = any(
        _matches(principal, uri)
        for policy in rules.get("policies", {}).values()
        for principal in policy["principals"]
    )
    return not matched if rules.get("action") == "DENY" else matched


def _matches(principal: dict[str, Any], uri: str) -> bool:
    [(kind, value)] = principal.items()
    match kind:
        case "authenticated":
            return re.fullmatch(value["principalName"]["safeRegex"]["regex"], uri) is not None
        case "andIds":
            return all(_matches(entry, uri) for entry in value["ids"])
        case "notId":
            return not _matches(value, uri)
    raise AssertionError(kind)


def intention_sets(*, namespaces: Sequence[str]) -> st.SearchStrategy[list[Intention]]:
    """Up to eight intentions whose destination covers ``default/web``, no two of one pair."""
    sources = st.one_of(
        st.tuples(st.sampled_from(list(namespaces)), st.sampled_from([*NAMES, "*"])),
        st.just(("*", "*")),
    )
    destinations = st.sampled_from([("default", "web"), ("default", "*"), ("*", "*")])
    rules = st.builds(_rule, sources, destinations, st.booleans(), st.booleans())
    return st.lists(rules, max_size=8, unique_by=_pair)


def _rule(
    source: tuple[str, str], destination: tuple[str, str], allow: bool, has_permissions: bool
) -> Intention:
    return Intention(
        source_namespace=source[0],
        source_name=source[1],
        destination_namespace=destination[0],
        destination_name=destination[1],
        allow=allow,
        has_permissions=has_permissions,
    )


def _pair(rule: Intention) -> tuple[str, ...]:
    return (rule.source_namespace, rule.source_name, rule.destination_namespace, rule.destination_name)
