"""How patiently a watcher asks. The defaults are meant for a local agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from connect_proxy.consul.blocking_query import Backoff, Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchSettings:
    """All times in seconds."""

    wait_s: float = 60.0
    """Of each blocking query. Well below Consul's default of 300: an agent that hangs without closing
    its connections is noticed sooner, and a question a minute costs nothing."""
    poll_s: float = 10.0
    """Between looks at what cannot be blocked on: prepared queries, intentions that may not be listed."""
    held_upstreams: int = 32
    """How many upstreams are blocked on at once; further ones are polled. An agent takes 200 connections
    from one address, and all proxies of its host come from the same."""
    asked_upstreams: int = 8
    """How many of the others are asked about at once. A start with hundreds of upstreams would else come
    near that limit, and one beyond it is hung up on."""
    quiet_s: float = 0.01
    """A change is delivered once nothing else has changed for so long …"""
    longest_s: float = 0.1
    """… or after so long."""
    token_poll_s: float = 1.0
    """Between looks at the token file."""
    backoff: Backoff = field(default_factory=Backoff)
    """Of queries that fail."""
    absent: Backoff = field(default_factory=lambda: Backoff(quick_s=0.2, first_s=0.5, ceiling_s=5.0))
    """Of looks for a registration that vanished: its agent is local and answers."""
    pace: Pace = field(default_factory=Pace)


DEFAULT: Final = WatchSettings()
