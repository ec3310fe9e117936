"""Whether a new process of a proxy can come up beside the one before it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connect_proxy.managed.assignment import Assignment
from connect_proxy.plugin_api import BackendTraits


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement:
    """How the one takes the other's place."""

    beside: bool
    """The new one comes up first."""
    shares_ports: bool = False
    """If the old one agrees: they have addresses in common."""
    reason: str = ""
    """Why the old one has to end first."""


def replacement(old: Assignment | None, new: Assignment, traits: BackendTraits) -> Replacement:
    """*old* is None where only the process is known, from before this agent. *traits*: of the new one's
    backend; of a command there are none."""
    if new.proxy.command or (old is not None and old.proxy.command):
        if old is None:
            return Replacement(beside=False, reason="it is not known where the old one listens")
        common = sorted(set(places(old)) & set(places(new)))
        if common:
            return Replacement(beside=False, reason=f"both listen on {common[0]}")
        return Replacement(beside=True)
    if not traits.shares_ports:
        reason = f"the backend {new.proxy.backend!r} does not listen beside another"
        return Replacement(beside=False, reason=reason)
    return Replacement(beside=True, shares_ports=True)


def places(assignment: Assignment) -> Iterator[str]:
    """What it listens on, as far as its definition tells. The same port on two addresses counts as one."""
    yield f"port {assignment.port}"
    for upstream in assignment.proxy.upstreams:
        if upstream.local_bind_socket_path:
            yield upstream.local_bind_socket_path
        elif upstream.local_bind_port:
            yield f"port {upstream.local_bind_port}"
