"""Intentions at the TLS handshake: whose certificate the public listener takes at all. Pure.

Envoy's RBAC filter looks at a connection when its first byte comes. Where the application speaks first
(databases, mail) a caller that is denied would have heard it by then. So the listener's TLS context is
given the same decision as expressions over the caller's SPIFFE URI: RE2 knows no "not", but the names
that are *not* in a finite set are a regular language too, and :func:`complement` writes it down.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from connect_proxy.mesh.intentions import ANY, Intention
from connect_proxy_envoy.resources.rbac import Source, effective, escaped, segment

ANY_SEGMENT: Final = "[^/]+"
MAX_NAMES: Final = 500
"""Above this the expressions get long; RBAC alone decides then."""
_DEFAULT: Final = "default"


def admitted(
    intentions: Iterable[Intention], *, default_allow: bool, trust_domain: str
) -> tuple[str, ...] | None:
    """Expressions that match exactly the allowed callers' URIs; empty if nobody is allowed.

    None where RBAC has to decide alone: everybody is allowed, or the rules speak of several
    namespaces or partitions (Consul Enterprise).
    """
    decided = effective(intentions)
    exact = {source.name: allow for source, allow in decided if source.wildcards == 0}
    if not all(_is_plain(source) for source, _ in decided) or len(exact) > MAX_NAMES:
        return None
    rest = _decision(decided, Source(_DEFAULT, ANY, _DEFAULT), default_allow)
    elsewhere = _decision(decided, Source(ANY, ANY, _DEFAULT), default_allow)
    if rest and elsewhere and all(exact.values()):
        return None
    mesh = f"^spiffe://{escaped(trust_domain)}"
    here = f"{mesh}/ns/{_DEFAULT}/dc/{ANY_SEGMENT}/svc/"
    patterns = [f"{here}{segment(name)}$" for name, allow in exact.items() if allow]
    if rest:
        patterns.append(f"{here}{complement([segment_text(name) for name in exact])}$")
    if elsewhere:
        tail = f"/dc/{ANY_SEGMENT}/svc/{ANY_SEGMENT}$"
        patterns.append(f"{mesh}/ns/{complement([_DEFAULT])}{tail}")
        patterns.append(f"{mesh}/ap/{ANY_SEGMENT}/ns/{ANY_SEGMENT}{tail}")
    return tuple(patterns)


def complement(words: Collection[str]) -> str:
    """An RE2 expression for every non-empty text without a slash that is not one of *words*."""
    return _others({word for word in words if word}, nothing_is_in=True)


def segment_text(name: str) -> str:
    """A name as it stands in a URI, not as an expression."""
    return segment(name, literal=True)


def _is_plain(source: Source) -> bool:
    return source.partition == _DEFAULT and source.namespace in {_DEFAULT, ANY}


def _decision(decided: Iterable[tuple[Source, bool]], asked: Source, default: bool) -> bool:
    """What is said of all that *asked* covers and no exact rule names."""
    return next((allow for source, allow in decided if source.covers(asked)), default)


def _others(words: set[str], *, nothing_is_in: bool) -> str:
    """Texts that are none of *words*. *nothing_is_in*: the empty text is one of the words as well."""
    if not words:
        return ANY_SEGMENT if nothing_is_in else "[^/]*"
    after: dict[str, set[str]] = {}
    for word in sorted(words):
        after.setdefault(word[0], set()).add(word[1:])
    first = "".join(_in_class(character) for character in after)
    branches = [f"[^/{first}][^/]*"]
    for character, rests in after.items():
        deeper = _others({rest for rest in rests if rest}, nothing_is_in="" in rests)
        branches.append(f"{escaped(character)}{deeper}")
    expression = f"(?:{'|'.join(branches)})"
    return expression if nothing_is_in else f"{expression}?"


def _in_class(character: str) -> str:
    """A character inside of brackets."""
    return f"\\{character}" if character in "\\]^-[" else character
