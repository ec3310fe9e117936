"""``connect-proxy wait``: until a sidecar is ready, seen from outside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from connect_proxy.cli.flags import interpreted, no_words
from connect_proxy.cli.invocation import chosen_proxy, invocation
from connect_proxy.cli.verb_command import VerbCommand
from connect_proxy.consul.access import AgentAccess
from connect_proxy.settings.fields import COMMON, CONSUL_API, GENERAL, PROXY
from connect_proxy.settings.setting import Setting, Type

if TYPE_CHECKING:
    from connect_proxy.consul.client import ConsulClient
    from connect_proxy.mesh.registration import Registration

log = logging.getLogger("connect_proxy.wait")

POLL_S: Final = 0.2

ROWS: Final = (
    *PROXY,
    Setting(
        name="node-name",
        metavar="NODE",
        group=GENERAL,
        help="Read the sidecar from the catalog's record of this node, not from an agent; needs -proxy-id.",
    ),
    Setting(
        name="timeout",
        type=Type.DURATION,
        default=30.0,
        metavar="DURATION",
        group=GENERAL,
        help="How long is waited at most; exit code 5 if it is not ready by then.",
    ),
    *COMMON,
    *CONSUL_API,
)


def execute(words: Sequence[str]) -> int:
    """Wait; 0 once it is ready. Raises NotReadyError, and at once what waiting cannot heal."""
    verb = VerbCommand(
        "wait",
        ROWS,
        usage="[OPTIONS]",
        summary=(
            "Wait until a sidecar is registered and its public listener proves the service's identity"
            " (or, without a public port, its first upstream accepts)."
        ),
    )
    given = interpreted(words, verb)
    if given is None:
        return 0
    no_words(given, "wait")
    call = invocation(ROWS, given.layer)
    proxy_id, sidecar_for = chosen_proxy(call.settings)
    timeout_s = call.settings.seconds("timeout")
    node = call.settings.text("node-name")
    asyncio.run(
        ready(call.access, proxy_id=proxy_id, sidecar_for=sidecar_for, node=node, timeout_s=timeout_s)
    )
    return 0


async def ready(
    access: AgentAccess, *, proxy_id: str, sidecar_for: str, timeout_s: float, node: str = ""
) -> None:
    """Return once the proxy is ready. Raises NotReadyError with what was missing last."""
    from connect_proxy.consul.client import connect_consul
    from connect_proxy.errors import (
        AgentUnreachableError,
        NoLeaderError,
        NotReadyError,
        RegistrationMissingError,
    )

    proxy = proxy_id or f"the sidecar of {sidecar_for}"
    missing = "nothing was heard of it"
    client = connect_consul(access)
    try:
        async with asyncio.timeout(max(timeout_s, 0)):
            while True:
                try:
                    missing = await _missing(client, proxy_id, sidecar_for, node)
                except (AgentUnreachableError, NoLeaderError, RegistrationMissingError) as exc:
                    missing = str(exc)
                if not missing:
                    return
                log.debug("not ready yet: %s", missing)
                await asyncio.sleep(POLL_S)
    except TimeoutError as exc:
        message = f'"{proxy}" is not ready after {timeout_s:g}s: {missing}'
        raise NotReadyError(message) from exc
    finally:
        await client.aclose()


async def _missing(client: ConsulClient, proxy_id: str, sidecar_for: str, node: str) -> str:
    """What is missing for the proxy to be ready, empty if nothing is."""
    from connect_proxy.consul.sidecar_lookup import find_proxy
    from connect_proxy.supervisor.readiness import public_listener_is_ready

    registration = await find_proxy(client, proxy_id=proxy_id, sidecar_for=sidecar_for, node=node)
    roots = await client.roots()
    address = await (_address_in_catalog(client, registration, node) if node else _node_address(client))
    readiness = await public_listener_is_ready(registration, roots.value, node_address=address)
    if readiness.ready:
        log.info("ready: %s", readiness.reason)
    return "" if readiness.ready else readiness.reason


async def _node_address(client: ConsulClient) -> str:
    """The agent's own address, where proxies without one listen; empty if the token may not read it."""
    from connect_proxy.errors import PermissionDeniedError

    try:
        agent_self = await client.agent_self()
    except PermissionDeniedError:
        return ""
    return str((agent_self.get("Member") or {}).get("Addr") or "")


async def _address_in_catalog(client: ConsulClient, registration: Registration, node: str) -> str:
    """Where the mesh dials the proxy, its node's address if it has none; empty if that is not shown."""
    found = await client.instances(registration.destination_service_name)
    here = (one.address for one in found.value if (one.node, one.service_id) == (node, registration.id))
    return next(here, "")
