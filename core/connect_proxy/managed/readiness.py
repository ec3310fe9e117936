"""Whether a managed proxy takes traffic, as its agent sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from connect_proxy.errors import ControlError
from connect_proxy.managed.assignment import Assignment
from connect_proxy.managed.member import Member
from connect_proxy.supervisor.control_socket import ask_at

DOOR_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 2.0


async def is_ready(member: Member, door: Path | None) -> bool:
    """A command: whether its public listener accepts. Any other backend: what it says itself."""
    supervisor = member.supervisor
    if supervisor is None or supervisor.pid is None:
        return False
    if member.assignment.proxy.command:
        return await accepts(member.assignment)
    if door is None:
        return False
    try:
        inside = await ask_at(door, "status", timeout_s=DOOR_TIMEOUT_S)
    except ControlError:
        return False
    # The socket may still be that of the process before it.
    return bool(inside.get("ready")) and inside.get("pid") == supervisor.pid


async def accepts(assignment: Assignment) -> bool:
    """Whether somebody accepts on its public port."""
    host = str(assignment.proxy.config.get("bind_address") or "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, assignment.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
