"""Telling systemd that a program which takes our place is ready (sd_notify(3), READY=1).

After the exec nobody of ours is left to say it, so a detached grandchild asks until the proxy is
ready, says so and ends. Units need ``NotifyAccess=all`` for that: the notice comes from another pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from connect_proxy.backends import Backend
from connect_proxy.consul.client import connect_consul
from connect_proxy.errors import ConnectProxyError
from connect_proxy.plugin_api import ProxyContext, ProxyProcess, Supervision
from connect_proxy.supervisor.notify import service_manager
from connect_proxy.supervisor.readiness import public_listener_is_ready

log = logging.getLogger("connect_proxy.run")

POLL_S = 0.1


def announce_when_ready(context: ProxyContext, backend: Backend) -> None:
    """Leave a process behind that notifies, if somebody waits for a notice. Returns at once."""
    proxy = os.getpid()
    manager = service_manager(context.environment, pid=proxy)
    if not manager.is_there:
        return
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            supervision = backend.supervise(context, ProxyProcess(pid=proxy))
            if asyncio.run(_ready(context, supervision, proxy)):
                manager.ready()
    except ConnectProxyError as exc:
        log.error("systemd is not told of readiness: %s", exc)
    finally:
        os._exit(0)


async def _ready(context: ProxyContext, supervision: Supervision, pid: int) -> bool:
    """True once it is ready; False when the proxy is gone first."""
    is_ready = supervision.is_ready or (lambda: probe_public_listener(context))
    while os.path.exists(f"/proc/{pid}") or not os.path.isdir("/proc/self"):
        if await is_ready():
            return True
        await asyncio.sleep(POLL_S)
    return False


async def probe_public_listener(context: ProxyContext) -> bool:
    """Whether the proxy shows its service's certificate on its public listener."""
    client = connect_consul(context.agent)
    try:
        roots = await client.roots()
        answer = await public_listener_is_ready(
            context.registration, roots.value, node_address=node_address(context)
        )
    except ConnectProxyError as exc:
        log.debug("readiness is not known: %s", exc)
        return False
    finally:
        await client.aclose()
    return answer.ready


def node_address(context: ProxyContext) -> str:
    """The agent's own address, where proxies without one of theirs listen; loopback if not told."""
    member = (context.agent_self or {}).get("Member") or {}
    return str(member.get("Addr") or "127.0.0.1")
