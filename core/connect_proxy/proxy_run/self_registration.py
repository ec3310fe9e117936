"""A proxy that registers itself while it runs (``-register``), with a TTL check that tells the truth.

As Consul's own proxy: check ``<id>-ttl`` "proxy heartbeat" of 30 s, a heartbeat every third of that, a
look every 30 s whether the registration is still there, deregistration at the end. Unlike it the check
passes only while the proxy is ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from connect_proxy.consul.client import ConsulClient
from connect_proxy.errors import AgentAnswerError, ConsulError, NotFoundError

log = logging.getLogger("connect_proxy.run")

TTL_S: Final = 30.0
HEARTBEAT_S: Final = TTL_S / 3
RECONCILE_S: Final = 30.0
SOON_S: Final = 0.2
"""Between two looks at a proxy that is not ready yet."""
WITHDRAWALS: Final = 3
WITHDRAWAL_PAUSE_S: Final = 0.5

Sleep = Callable[[float], Awaitable[None]]


class SelfRegistration:
    """Keeps one definition registered at the agent."""

    def __init__(
        self,
        client: ConsulClient,
        definition: Mapping[str, Any],
        *,
        is_ready: Callable[[], Awaitable[bool]],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """*definition*: body of ``PUT /v1/agent/service/register``, without a check."""
        self._client = client
        self._is_ready = is_ready
        self._sleep = sleep
        self.service_id = str(definition["ID"])
        self.check_id = f"{self.service_id}-ttl"
        check = {"CheckID": self.check_id, "Name": "proxy heartbeat", "TTL": f"{TTL_S:g}s"}
        self._definition = {**definition, "Check": check}

    async def keep(self) -> None:
        """Register, send heartbeats, put back what was lost; until cancelled."""
        looked_after = RECONCILE_S
        while True:
            try:
                if looked_after >= RECONCILE_S:
                    await self._reconcile()
                    looked_after = 0.0
                ready = await self._is_ready()
                await self._client.update_check(
                    self.check_id, status="passing" if ready else "critical", output=_words(ready)
                )
                pause = HEARTBEAT_S if ready else SOON_S
            except AgentAnswerError as exc:
                # An unknown check is 404, or 500 on older Consuls: the registration is gone.
                log.info("'%s' is to be registered again: %s", self.service_id, exc)
                looked_after, pause = RECONCILE_S, SOON_S if looked_after < RECONCILE_S else HEARTBEAT_S / 4
            except ConsulError as exc:
                log.warning("the proxy's own registration: %s; trying again", exc)
                looked_after, pause = RECONCILE_S, HEARTBEAT_S / 4
            await self._sleep(pause)
            looked_after += pause

    async def withdraw(self) -> None:
        """Deregister; a few tries, since the program is about to end."""
        for left in range(WITHDRAWALS - 1, -1, -1):
            try:
                await self._client.deregister_service(self.service_id)
            except ConsulError as exc:
                log.warning("'%s' is not deregistered: %s", self.service_id, exc)
                if left:
                    await self._sleep(WITHDRAWAL_PAUSE_S)
            else:
                log.info("deregistered '%s'", self.service_id)
                return

    async def _reconcile(self) -> None:
        """Register unless it is registered as described."""
        try:
            found = (await self._client.service(self.service_id)).value
        except NotFoundError:
            found = None
        wanted = (self._definition.get("Address", ""), self._definition.get("Port", 0))
        if found is not None and (found.address, found.port) == wanted:
            return
        await self._client.register_service(self._definition)
        log.info("registered '%s' on %s:%s", self.service_id, *wanted)


def _words(ready: bool) -> str:
    return "serving" if ready else "not ready"
