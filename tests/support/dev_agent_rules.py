"""Access rules for the embedded agent: what a token may do, as a test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connect_proxy.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Default deny. ``granted``: token to lines such as ``service:write:web``, ``*`` for any name."""

    granted: Mapping[str, frozenset[str]]
    enabled: bool = True
    default_allow: bool = False

    def allows(self, token: Secret, *, resource: str, name: str, permission: str) -> bool:
        lines = self.granted.get(token.reveal(), frozenset())
        wanted = {permission, "write"}
        return any(f"{resource}:{each}:{who}" in lines for each in wanted for who in (name, "*"))


def rules(**granted: str) -> Rules:
    """``rules(web="service:write:web service:read:*")``: what each token may do, in words."""
    return Rules(granted={token: frozenset(lines.split()) for token, lines in granted.items()})
