"""Intentions as rules for HTTP requests: callers as for connections, and their L7 permissions. Pure.

Of a source's permissions the first that matches decides, and Envoy's policies know no order: each one
that is kept says which earlier ones it does not speak for, and those that decide as the default does
are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from connect_proxy.mesh.intentions import HeaderMatch, Intention, Permission
from connect_proxy_envoy.resources.rbac import POLICY, kept_rules, principal

POLICY_OF_REQUESTS: Final = "consul-intentions-layer7"
_ANY: Final[dict[str, Any]] = {"any": True}


def http_rbac_rules(
    intentions: Iterable[Intention], *, default_allow: bool, trust_domain: str
) -> dict[str, Any]:
    """The ``rules`` of the filter for requests (``envoy.config.rbac.v3.RBAC``)."""
    policies: dict[str, Any] = {}
    whole = []
    for number, rule in enumerate(_rules(intentions, default_allow=default_allow)):
        if not rule.permissions:
            whole.append(principal(rule, trust_domain))
            continue
        policies[f"{POLICY_OF_REQUESTS}-{number}"] = {
            "permissions": _kept(rule.permissions, default_allow=default_allow),
            "principals": [principal(rule, trust_domain)],
        }
    if whole:
        policies[POLICY] = {"permissions": [_ANY], "principals": whole}
    document: dict[str, Any] = {"action": "DENY"} if default_allow else {}
    return document | {"policies": policies} if policies else document


def _rules(intentions: Iterable[Intention], *, default_allow: bool) -> list[Any]:
    """Without those whose permissions all decide as the default does."""
    rules = kept_rules(intentions, default_allow=default_allow, by_request=True)
    return [
        rule
        for rule in rules
        if not rule.permissions or any(each.allow is not default_allow for each in rule.permissions)
    ]


def _kept(permissions: Sequence[Permission], *, default_allow: bool) -> list[dict[str, Any]]:
    """Those that differ from the default, each without what earlier ones decide."""
    kept = []
    for position, permission in enumerate(permissions):
        if permission.allow is default_allow:
            continue
        # From the last one up, as Consul lists them.
        earlier = [{"notRule": _requests(other)} for other in reversed(permissions[:position])]
        kept.append(_all([_requests(permission), *earlier]))
    return kept


def _requests(permission: Permission) -> dict[str, Any]:
    """``envoy.config.rbac.v3.Permission``: the requests that *permission* speaks of."""
    parts = [_path(matcher) for matcher in _path_matchers(permission)]
    parts += [_header(header) for header in permission.headers]
    if permission.methods:
        parts.append(_matching(":method", {"safeRegex": {"regex": "|".join(permission.methods)}}))
    return _all(parts) if parts else _ANY


def _path_matchers(permission: Permission) -> Iterable[dict[str, Any]]:
    """Consul takes one; all that are set would have to hold."""
    if permission.path_exact:
        yield {"exact": permission.path_exact}
    if permission.path_prefix:
        yield {"prefix": permission.path_prefix}
    if permission.path_regex:
        yield {"safeRegex": {"regex": permission.path_regex}}


def _path(matcher: dict[str, Any]) -> dict[str, Any]:
    """The path without its query."""
    return {"urlPath": {"path": matcher}}


def _header(header: HeaderMatch) -> dict[str, Any]:
    inverted = {"invertMatch": True} if header.invert else {}
    for comparison in ("exact", "regex", "prefix", "suffix", "contains"):
        if value := getattr(header, comparison):
            break
    else:
        return {"header": {"name": header.name, "presentMatch": True, **inverted}}
    if comparison == "regex":
        matcher: dict[str, Any] = {"safeRegex": {"regex": value}}
    else:
        matcher = {comparison: value, **({"ignoreCase": True} if header.ignore_case else {})}
    return _matching(header.name, matcher, **inverted)


def _matching(name: str, matcher: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"header": {"name": name, "stringMatch": matcher, **more}}


def _all(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"andRules": {"rules": list(parts)}}
