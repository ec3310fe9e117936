"""One proxy's state as JSON has it: for USR1, and for the agent that started it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connect_proxy.plugin_api import Companion, Supervision
from connect_proxy.snapshot.watcher import SnapshotWatcher
from connect_proxy.supervisor.states import State

if TYPE_CHECKING:  # a proxy in this process needs none of it
    from connect_proxy.supervisor.supervisor import Supervisor


async def picture(
    proxy_id: str,
    backend: str,
    *,
    watcher: SnapshotWatcher | None,
    supervisor: Supervisor | None,
    companion: Companion | None,
    supervision: Supervision | None,
) -> Mapping[str, Any]:
    """Whatever is there of it. ``certificate_expiry`` is RFC 3339: from the snapshot, else as the data
    plane tells it; None where neither knows."""
    state: dict[str, Any] = {"proxy": proxy_id, "backend": backend, "certificate_expiry": None}
    state["pid"] = os.getpid()
    state["ready"] = await _is_ready(supervisor, supervision)
    if watcher is not None:
        feed = watcher.status
        state["snapshot"] = {name: getattr(feed, name) for name in feed.__slots__}
        if (current := watcher.current) is not None:
            state["registration"] = current.registration_state.value
            state["certificate_expiry"] = current.leaf.valid_before.isoformat()
    if supervisor is not None:
        state["process"] = {
            "state": supervisor.state.value,
            "pid": supervisor.pid,
            "restarts": supervisor.restarts,
        }
    if companion is not None:
        state["companion"] = companion.status()
    if supervision is not None and supervision.status is not None:
        state["data_plane"] = told = await supervision.status()
        state["certificate_expiry"] = state["certificate_expiry"] or told.get("certificate_expiry")
    return state


async def _is_ready(supervisor: Supervisor | None, supervision: Supervision | None) -> bool:
    """Whether this very process takes traffic: of a child once it was seen to."""
    if supervisor is not None:
        return supervisor.state is State.RUNNING
    return supervision is not None and supervision.is_ready is not None and await supervision.is_ready()
