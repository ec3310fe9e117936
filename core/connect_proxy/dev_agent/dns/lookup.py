"""What a DNS name asks for. Pure.

Shapes (Consul's DNS interface; tried on 1.8.7), letter case not counting::

    [<tag>.]<service>.service[.<dc>].consul     _<service>._<tag or tcp>.service[.<dc>].consul
    [<anything>.]<service>.connect[.<dc>].consul
    <node>.node[.<dc>].consul                   <id or name>.query[.<dc>].consul
    <hex of an address>.addr[.<dc>].consul
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "consul"
_KINDS: Final = frozenset({"service", "connect", "node", "query", "addr"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """One of the shapes above, taken apart."""

    kind: str
    """``service``, ``connect``, ``node``, ``query``, ``addr``, or ``domain`` for ``consul.`` itself."""
    name: str = ""
    tag: str = ""
    datacenter: str = ""


def is_ours(labels: tuple[str, ...]) -> bool:
    """Whether a name lies in the domain. *labels* are lower-case, without the root."""
    return labels[-1:] == (DOMAIN,)


def parse_name(labels: tuple[str, ...]) -> Lookup | None:
    """The lookup behind a name in the domain; None if it has no meaning."""
    rest, datacenter = labels[:-1], ""
    if not rest:
        return Lookup(kind="domain")
    if rest[-1] not in _KINDS and len(rest) > 1:
        rest, datacenter = rest[:-1], rest[-1]
    kind, words = rest[-1], rest[:-1]
    if kind not in _KINDS or not words:
        return None
    match kind:
        case "service":
            name, tag = _service(words)
        case "connect" | "addr":
            name, tag = words[-1], ""
        case _:
            name, tag = ".".join(words), ""
    return Lookup(kind=kind, name=name, tag=tag, datacenter=datacenter)


def _service(words: tuple[str, ...]) -> tuple[str, str]:
    """(name, tag). RFC 2782 names carry underscores and may say ``_tcp`` for "any tag"."""
    if len(words) == 2 and words[0].startswith("_") and words[1].startswith("_"):
        tag = words[1][1:]
        return words[0][1:], "" if tag == "tcp" else tag
    return words[-1], ".".join(words[:-1])
