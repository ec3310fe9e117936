"""Intentions: who may call whom (``GET /v1/connect/intentions/match?by=destination``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderMatch:
    """What a permission asks of one request header (``HTTP.Header[]``): one comparison, or presence."""

    name: str
    exact: str = ""
    prefix: str = ""
    suffix: str = ""
    contains: str = ""
    regex: str = ""
    """RE2, over the whole value."""
    present: bool = False
    ignore_case: bool = False
    invert: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """Which requests a source may make, or not: all that is set has to hold (Consul 1.9 and newer)."""

    allow: bool
    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    """RE2, over the whole path without its query."""
    headers: tuple[HeaderMatch, ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Intention:
    """One rule. Names are compared case-sensitively; ``*`` only as a whole value."""

    id: str = ""
    source_name: str
    destination_name: str
    allow: bool
    source_namespace: str = "default"
    destination_namespace: str = "default"
    source_partition: str = "default"
    source_peer: str = ""
    permissions: tuple[Permission, ...] = ()
    """L7: the first that matches a request decides about it, the default if none does.

    Instead of ``allow``, which is False then: on a TCP listener such an intention is a denial.
    """
    not_understood: tuple[str, ...] = ()
    """Conditions of Consul's that are unknown here, such as ``JWT``. What they would have narrowed is
    denied: neither ``allow`` nor any permission that has them allows anything."""

    @property
    def precedence(self) -> int:
        """9, 8, 6, 5 in open-source Consul: the more exact, the higher; destination before source."""
        return precedence(
            source=(self.source_namespace, self.source_name),
            destination=(self.destination_namespace, self.destination_name),
        )

    def matches_source(self, *, namespace: str, name: str) -> bool:
        """Whether a caller is covered by this rule's source."""
        return self.source_namespace in {namespace, ANY} and self.source_name in {name, ANY}


def precedence(*, source: tuple[str, str], destination: tuple[str, str]) -> int:
    """Consul's number for (namespace, name) of source and destination."""
    return 3 * _exactness(destination) - (2 - (_exactness(source) - 1))


def _exactness(part: tuple[str, str]) -> int:
    """3 for an exact name, 2 for any name in a namespace, 1 for any namespace."""
    namespace, name = part
    if namespace == ANY:
        return 1
    return 2 if name == ANY else 3


def by_precedence(intentions: Iterable[Intention]) -> tuple[Intention, ...]:
    """The order in which they are tried: highest precedence first, ties by Consul's byte order."""
    return tuple(
        sorted(
            intentions,
            key=lambda rule: (
                -rule.precedence,
                rule.source_peer,
                rule.source_partition,
                rule.source_namespace,
                rule.source_name,
                rule.destination_namespace,
                rule.destination_name,
            ),
        )
    )
