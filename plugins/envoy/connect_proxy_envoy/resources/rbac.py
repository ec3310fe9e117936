"""Intentions as Envoy's RBAC rules (``envoy.config.rbac.v3.RBAC``). Pure.

Consul tries intentions in order of precedence and the first that matches decides; Envoy's policies
know no order. So each rule that is kept says which narrower sources it does not speak for, and rules
that decide as the default does are left out. Sources are nested or disjoint (one service, any service
of a namespace, anything), which makes this exact.

Two things Consul's own translation does otherwise: names are escaped in the expressions, and a rule
whose whole source was already decided by a broader one of higher precedence is dropped (Consul's
``* -> web`` denied and ``foo -> *`` allowed lets foo in by RBAC and out by ``authorize``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.mesh.intentions import ANY, Intention, Permission, by_precedence
from connect_proxy.mesh.spiffe import ServiceIdentity

POLICY: Final = "consul-intentions-layer4"
_ANY_SEGMENT: Final = "[^/]+"
_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")
"""What RE2 gives a meaning to, outside of brackets."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whom an intention speaks of."""

    namespace: str
    name: str
    partition: str

    @property
    def wildcards(self) -> int:
        """0 for one service, 1 for any of a namespace, 2 for any."""
        return (self.namespace == ANY) + (self.name == ANY)

    def covers(self, other: Source) -> bool:
        """Whether everybody in *other* is in here too."""
        return (
            self.partition == other.partition
            and self.namespace in {ANY, other.namespace}
            and self.name in {ANY, other.name}
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A source that is decided otherwise than the default, but for some narrower sources."""

    source: Source
    excepted: tuple[Source, ...]
    permissions: tuple[Permission, ...] = ()
    """The source's requests are decided one by one; empty: all of them."""


def rbac_rules(
    intentions: Iterable[Intention], *, default_allow: bool, trust_domain: str
) -> dict[str, Any]:
    """The ``rules`` of the filter for connections.

    No policy under ALLOW denies everybody, no policy under DENY allows everybody: both are what the
    default says then.
    """
    rules = kept_rules(intentions, default_allow=default_allow)
    document: dict[str, Any] = {"action": "DENY"} if default_allow else {}
    if rules:
        principals = [principal(rule, trust_domain) for rule in rules]
        document["policies"] = {POLICY: {"permissions": [{"any": True}], "principals": principals}}
    return document


def kept_rules(
    intentions: Iterable[Intention], *, default_allow: bool, by_request: bool = False
) -> tuple[Rule, ...]:
    """The rules that differ from the default, in order of precedence.

    *by_request*: L7 permissions can be looked at, so their rules are kept too.
    """
    decided = deciding(intentions)
    rules = []
    for position, (source, intention) in enumerate(decided):
        permissions = intention.permissions if by_request else ()
        if not permissions and intention.allow is default_allow:
            continue
        # From the lowest precedence up, as Consul lists them.
        narrower = [other for other, _ in reversed(decided[:position]) if source.covers(other)]
        rules.append(Rule(source, _simplified(narrower), permissions))
    return tuple(rules)


def effective(intentions: Iterable[Intention]) -> list[tuple[Source, bool]]:
    """(source, allow) in order of precedence, as connections are decided: L7 permissions deny."""
    return [(source, intention.allow) for source, intention in deciding(intentions)]


def deciding(intentions: Iterable[Intention]) -> list[tuple[Source, Intention]]:
    """The intentions in order of precedence, without those that never get to decide.

    Sources of a peered cluster have a trust domain that is not known here: left out.
    """
    kept: list[tuple[Source, Intention]] = []
    for intention in by_precedence(intentions):
        if intention.source_peer:
            continue
        source = Source(
            intention.source_namespace, intention.source_name, intention.source_partition or "default"
        )
        if not any(earlier.covers(source) for earlier, _ in kept):
            kept.append((source, intention))
    return kept


def _simplified(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Without those that another one covers; fewer wildcards first."""
    return tuple(
        source
        for source in sorted(sources, key=lambda source: source.wildcards)
        if not any(other is not source and other.covers(source) for other in sources)
    )


def principal(rule: Rule, trust_domain: str) -> dict[str, Any]:
    """Whom *rule* speaks of."""
    identity = _authenticated(rule.source, trust_domain)
    if not rule.excepted:
        return identity
    excepted = [{"notId": _authenticated(source, trust_domain)} for source in rule.excepted]
    return {"andIds": {"ids": [identity, *excepted]}}


def _authenticated(source: Source, trust_domain: str) -> dict[str, Any]:
    regex = source_pattern(source, trust_domain)
    return {"authenticated": {"principalName": {"safeRegex": {"regex": regex}}}}


def source_pattern(source: Source, trust_domain: str) -> str:
    """The expression that a caller's SPIFFE URI has to match. RE2 syntax, which Python's ``re`` reads."""
    partition = "" if source.partition == "default" else f"/ap/{segment(source.partition)}"
    namespace, name = segment(source.namespace), segment(source.name)
    domain = escaped(trust_domain)
    return f"^spiffe://{domain}{partition}/ns/{namespace}/dc/{_ANY_SEGMENT}/svc/{name}$"


def segment(text: str, *, literal: bool = False) -> str:
    """One segment of the path as an expression, or (*literal*) as it stands in a URI."""
    if text == ANY and not literal:
        return _ANY_SEGMENT
    uri = ServiceIdentity(trust_domain="t", datacenter="d", service=text).uri
    encoded = uri.rpartition("/svc/")[2]
    return encoded if literal else escaped(encoded)


def escaped(text: str) -> str:
    """*text* taken literally by RE2."""
    return _SPECIAL.sub(r"\\\1", text)
