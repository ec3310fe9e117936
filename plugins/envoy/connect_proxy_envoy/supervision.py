"""How to look after a running Envoy: by its admin API."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connect_proxy.errors import ProxyControlError
from connect_proxy.mesh.registration import Upstream
from connect_proxy.plugin_api import ProxyContext, ProxyProcess, Supervision
from connect_proxy_envoy.admin_client import AdminClient
from connect_proxy_envoy.facts import facts_of
from connect_proxy_envoy.inbound import ACTIVE_CONNECTIONS, inbound_connections
from connect_proxy_envoy.sharing import shared_addresses

log = logging.getLogger("connect_proxy.envoy")

POLL_S: Final = 0.1
DRAIN_LISTENERS: Final = "/drain_listeners?inboundonly&graceful&skip_exit"
"""``skip_exit``: from 1.37 on Envoy would leave by itself, and with it the egress."""

_LEVELS: Final = {"TRACE": "trace", "DEBUG": "debug", "INFO": "info", "WARN": "warning", "ERROR": "error"}
_SIGNALS: Final = {
    signal.SIGKILL: "Envoy was killed (SIGKILL): most often out of memory, the kernel's log tells",
    signal.SIGSEGV: "Envoy crashed (segmentation fault); its stack trace is in its log",
    signal.SIGABRT: "Envoy gave up on a failed assertion or a lack of memory; the reason is in its log",
    signal.SIGBUS: "Envoy crashed (bus error): most often a full disk behind /dev/shm",
    signal.SIGILL: "Envoy needs processor instructions that this machine has not",
}


def supervision(context: ProxyContext, process: ProxyProcess) -> Supervision:
    """Readiness, drain, log level and state of the Envoy just started."""
    del process
    envoy = Envoy(AdminClient(facts_of(context).admin), context.registration.upstreams)
    return Supervision(
        is_ready=envoy.is_ready,
        drain=envoy.drain,
        drain_timeout_s=context.option("drain-time"),
        share_ports=envoy.share_ports,
        hand_over=envoy.hand_over,
        set_log_level=envoy.set_log_level,
        reopen_logs=envoy.reopen_logs,
        status=envoy.status,
        explain_exit=explain_exit,
    )


class Envoy:
    """A running Envoy, behind its admin API."""

    def __init__(self, admin: AdminClient, upstreams: Sequence[Upstream] = ()) -> None:
        self._admin = admin
        self._upstreams = upstreams

    async def is_ready(self) -> bool:
        """Whether Envoy has all its configuration and is not draining."""
        return await asyncio.to_thread(self._admin.is_ready)

    async def drain(self, timeout_s: float) -> None:
        """Leave the mesh: fail health checks, drain the inbound listeners, wait for the last connection.

        Outbound goes on: the application may still need its upstreams to finish. Returns when no
        inbound connection is left or after *timeout_s*. An order that Envoy refuses is logged and
        takes nobody's time away; an Envoy that does not answer at all has nobody to wait for.
        """
        deadline = time.monotonic() + timeout_s
        try:
            await asyncio.to_thread(self._admin.server_info)
        except ProxyControlError as exc:
            log.info("stopping Envoy without a drain: %s", exc)
            return
        for order in ("/healthcheck/fail", DRAIN_LISTENERS):
            try:
                await asyncio.to_thread(self._admin.post, order)
            except ProxyControlError as exc:
                log.warning("%s", exc)
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self._inbound_connections) == 0:
                return
            await asyncio.sleep(POLL_S)

    async def share_ports(self, share: bool) -> Sequence[str]:
        """Where it listens beside a new process. It shares or does not: that is not changed here."""
        return await asyncio.to_thread(shared_addresses, self._admin) if share else ()

    async def hand_over(self, timeout_s: float) -> None:
        """A new process gets all new connections: wait for the last one here, of the application's own
        too. HTTP connections are ended after their next answer, as the failed health check has it."""
        deadline = time.monotonic() + timeout_s
        try:
            await asyncio.to_thread(self._admin.post, "/healthcheck/fail")
        except ProxyControlError as exc:
            log.warning("%s", exc)
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self._connections) == 0:
                return
            await asyncio.sleep(POLL_S)

    async def set_log_level(self, level: str) -> None:
        """Set the level of all of Envoy's loggers."""
        await asyncio.to_thread(self._admin.post, f"/logging?level={_LEVELS[level.upper()]}")

    async def reopen_logs(self) -> None:
        """After log rotation."""
        await asyncio.to_thread(self._admin.post, "/reopen_logs")

    async def status(self) -> Mapping[str, Any]:
        """Envoy's version, state, certificate and xDS connection."""
        try:
            expiry = await asyncio.to_thread(self._admin.certificate_expiry)
            info = await asyncio.to_thread(self._admin.server_info)
            xds = await asyncio.to_thread(self._admin.statistics, r"^(control_plane|cluster_manager)\.")
        except ProxyControlError as exc:
            return {"state": "unreachable", "error": str(exc)}
        return {
            "state": info.get("state"),
            "version": info.get("version"),
            "certificate_expiry": expiry,
            "statistics": xds,
        }

    def _inbound_connections(self) -> int:
        """Open connections from the mesh. An Envoy that is gone has none."""
        return inbound_connections(self._active(), self._upstreams)

    def _connections(self) -> int:
        """Open connections from the mesh and from the application."""
        return inbound_connections(self._active(), ())

    def _active(self) -> Mapping[str, int]:
        try:
            return self._admin.statistics(ACTIVE_CONNECTIONS)
        except ProxyControlError:
            return {}


def explain_exit(status: int) -> str:
    """A sentence for *status* (negative: by that signal), empty if there is nothing to add."""
    if status >= 0:
        return ""
    try:
        return _SIGNALS.get(signal.Signals(-status), "")
    except ValueError:
        return ""
