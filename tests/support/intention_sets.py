"""Sets of intentions for property tests, and what Consul says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from connect_proxy.mesh.intentions import HeaderMatch, Intention, Permission, by_precedence

NAMES = ["web", "w.b", "web-2", "wxb"]
PATHS = ["/", "/a", "/a/b", "/b"]
METHODS = ["GET", "POST", "PUT"]
HEADERS = ["x-one", "x-two"]
VALUES = ["1", "a", "A"]


def consul_decides(intentions: Sequence[Intention], *, default: bool, namespace: str, name: str) -> bool:
    """Consul's rule: the first that matches, in order of precedence."""
    for rule in by_precedence(intentions):
        if rule.matches_source(namespace=namespace, name=name):
            return rule.allow
    return default


@dataclass(frozen=True, kw_only=True)
class Request:
    """An HTTP request, as far as permissions look at it."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


def consul_decides_request(
    intentions: Sequence[Intention], request: Request, *, default: bool, name: str
) -> bool:
    """Consul's rule: of the intention that decides, the first permission that matches."""
    for rule in by_precedence(intentions):
        if not rule.matches_source(namespace="default", name=name):
            continue
        if not rule.permissions:
            return rule.allow
        return next((each.allow for each in rule.permissions if _covers(each, request)), default)
    return default


def _covers(permission: Permission, request: Request) -> bool:
    return (
        (not permission.path_exact or request.path == permission.path_exact)
        and request.path.startswith(permission.path_prefix)
        and (not permission.path_regex or re.fullmatch(permission.path_regex, request.path) is not None)
        and (not permission.methods or request.method in permission.methods)
        and all(_has(header, request) for header in permission.headers)
    )


def _has(header: HeaderMatch, request: Request) -> bool:
    value = dict(request.headers).get(header.name)
    if header.present:
        return (value is not None) is not header.invert
    if value is None:
        return False  # whatever is asked of it: as Envoy does
    found, exact = (value.lower(), header.exact.lower()) if header.ignore_case else (value, header.exact)
    return (found == exact if exact else re.fullmatch(header.regex, value) is not None) is not header.invert


def decides(rules: dict[str, Any], uri: str, request: Request | None = None) -> bool:
    """What Envoy's filter says to a caller: a small evaluator of the JSON."""
    matched = any(
        _matches(principal, uri)
        for policy in rules.get("policies", {}).values()
        for principal in policy["principals"]
        if any(_permits(permission, request) for permission in policy["permissions"])
    )
    return not matched if rules.get("action") == "DENY" else matched


def _permits(permission: dict[str, Any], request: Request | None) -> bool:
    [(kind, value)] = permission.items()
    if kind == "any":
        return True
    assert request is not None, "rules for connections ask nothing of requests"
    match kind:
        case "andRules":
            return all(_permits(each, request) for each in value["rules"])
        case "notRule":
            return not _permits(value, request)
        case "urlPath":
            return _text_matches(value["path"], request.path)
        case "header":
            shown = {**dict(request.headers), ":method": request.method}.get(value["name"])
            if "presentMatch" in value:
                return (shown is not None) is not bool(value.get("invertMatch"))
            if shown is None:
                return False
            inverted = bool(value.get("invertMatch"))
            return _text_matches(value["stringMatch"], shown) is not inverted
    raise AssertionError(kind)


def _text_matches(matcher: dict[str, Any], text: str) -> bool:
    [(kind, wanted)] = ((key, value) for key, value in matcher.items() if key != "ignoreCase")
    if kind == "safeRegex":
        return re.fullmatch(wanted["regex"], text) is not None
    if matcher.get("ignoreCase"):
        wanted, text = wanted.lower(), text.lower()
    match kind:
        case "exact":
            return bool(text == wanted)
        case "prefix":
            return text.startswith(wanted)
    raise AssertionError(kind)


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


_HEADER_MATCHES = st.one_of(
    st.builds(HeaderMatch, name=st.sampled_from(HEADERS), present=st.just(True), invert=st.booleans()),
    st.builds(
        HeaderMatch,
        name=st.sampled_from(HEADERS),
        exact=st.sampled_from(VALUES),
        ignore_case=st.booleans(),
        invert=st.booleans(),
    ),
    st.builds(HeaderMatch, name=st.sampled_from(HEADERS), regex=st.just("[a-z]"), invert=st.booleans()),
)
_PATH_MATCHES = st.one_of(
    st.just({}),
    st.builds(lambda path: {"path_exact": path}, st.sampled_from(PATHS)),
    st.builds(lambda path: {"path_prefix": path}, st.sampled_from(PATHS)),
    st.just({"path_regex": "/[ab]"}),
)
PERMISSIONS = st.builds(
    lambda allow, path, headers, methods: Permission(
        allow=allow, headers=tuple(headers), methods=tuple(methods), **path
    ),
    st.booleans(),
    _PATH_MATCHES,
    st.lists(_HEADER_MATCHES, max_size=2),
    st.lists(st.sampled_from(METHODS), max_size=2, unique=True),
)
REQUESTS = st.builds(
    lambda method, path, headers: Request(method=method, path=path, headers=tuple(headers.items())),
    st.sampled_from(METHODS),
    st.sampled_from(PATHS),
    st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(VALUES)),
)


def intention_sets(*, namespaces: Sequence[str]) -> st.SearchStrategy[list[Intention]]:
    """Up to eight intentions whose destination covers ``default/web``, no two of one pair."""
    sources = st.one_of(
        st.tuples(st.sampled_from(list(namespaces)), st.sampled_from([*NAMES, "*"])),
        st.just(("*", "*")),
    )
    destinations = st.sampled_from([("default", "web"), ("default", "*"), ("*", "*")])
    nothing: list[Permission] = []
    permissions = st.one_of(st.just(nothing), st.lists(PERMISSIONS, min_size=1, max_size=4))
    rules = st.builds(_rule, sources, destinations, st.booleans(), permissions)
    return st.lists(rules, max_size=8, unique_by=_pair)


def _rule(
    source: tuple[str, str], destination: tuple[str, str], allow: bool, permissions: list[Permission]
) -> Intention:
    return Intention(
        source_namespace=source[0],
        source_name=source[1],
        destination_namespace=destination[0],
        destination_name=destination[1],
        allow=allow and not permissions,
        permissions=tuple(permissions),
    )


def _pair(rule: Intention) -> tuple[str, ...]:
    return (rule.source_namespace, rule.source_name, rule.destination_namespace, rule.destination_name)
