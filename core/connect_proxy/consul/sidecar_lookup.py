"""Which proxy to run: from ``-proxy-id`` or ``-sidecar-for`` to its registration at the agent.

The service it stands for need not exist: the proxy's own registration is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from connect_proxy.consul.blocking_query import Backoff
from connect_proxy.consul.client import ConsulClient
from connect_proxy.consul.clock import Clock, SystemClock
from connect_proxy.errors import (
    AgentUnreachableError,
    ConnectProxyError,
    NoLeaderError,
    NotFoundError,
    NotReadyError,
    RegistrationAmbiguousError,
    RegistrationMissingError,
    UsageError,
    WrongKindError,
)
from connect_proxy.mesh.registration import CONNECT_PROXY, Registration

log = logging.getLogger("connect_proxy.consul")

HEALS_BY_WAITING: Final = (RegistrationMissingError, AgentUnreachableError, NoLeaderError)
RETRIES: Final = Backoff(quick_s=0.1, first_s=0.2, ceiling_s=2.0)
SHORTEST_TRY_S: Final = 1.0
"""What even the last try before the deadline gets."""


async def find_proxy(
    client: ConsulClient,
    *,
    proxy_id: str = "",
    sidecar_for: str = "",
    kind: str = CONNECT_PROXY,
    node: str = "",
    wait_s: float = 0.0,
    clock: Clock | None = None,
) -> Registration:
    """The registration of the proxy with id *proxy_id*, else of the one sidecar of *sidecar_for*.

    With another *kind*, a gateway's, the one instance of that kind is found where no id is named.
    With *node* the proxy *proxy_id* is read from the catalog's record of that node: no agent need
    run on it.
    With *wait_s* > 0 a registration that is not there yet, an agent that does not answer and a
    missing leader are waited for so many seconds; NotReadyError tells what was still wrong then.
    Raises RegistrationMissingError, RegistrationAmbiguousError, WrongKindError, and the errors of
    the client.
    """
    if node and not proxy_id:
        message = (
            f"-node-name '{node}' requires -proxy-id: say which proxy of this node is meant "
            "(or set CONNECT_PROXY_ID)"
        )
        raise UsageError(message)
    if not proxy_id and not sidecar_for and kind == CONNECT_PROXY:
        message = "no proxy is named: give -proxy-id ID or -sidecar-for ID"
        raise UsageError(message)

    async def find_now() -> Registration:
        if node:
            return await _in_catalog(client, node=node, proxy_id=proxy_id, kind=kind)
        return await _find_now(client, proxy_id=proxy_id, sidecar_for=sidecar_for, kind=kind)

    if wait_s <= 0:
        return await find_now()
    return await _waited_for(find_now, client, wait_s, clock or SystemClock())


async def _waited_for(
    find_now: Callable[[], Awaitable[Registration]], client: ConsulClient, wait_s: float, clock: Clock
) -> Registration:
    import asyncio

    deadline = clock.monotonic() + wait_s
    backoff, told = RETRIES, ""
    while True:
        remaining = deadline - clock.monotonic()
        try:
            async with asyncio.timeout(max(remaining, SHORTEST_TRY_S)):
                return await find_now()
        except (*HEALS_BY_WAITING, TimeoutError) as exc:
            reason = _reason(exc, client)
            if deadline - clock.monotonic() <= 0:
                message = f"not ready within '{wait_s:g}' s: {reason}"
                raise NotReadyError(message) from exc
        if reason != told:
            log.info("waiting up to %g s: %s", wait_s, reason)
            told = reason
        backoff = backoff.failed()
        await clock.sleep(min(backoff.delay_s(clock.random()), max(deadline - clock.monotonic(), 0)))


async def _find_now(client: ConsulClient, *, proxy_id: str, sidecar_for: str, kind: str) -> Registration:
    if proxy_id:
        found_id = proxy_id
    elif sidecar_for:
        found_id = _the_sidecar_of(sidecar_for, await client.services())
    else:
        found_id = _the_only(kind, await client.services())
    try:
        answer = await client.service(found_id)
    except NotFoundError as exc:
        raise _missing(found_id, await client.services(), kind) from exc
    if answer.value.kind != kind:
        raise _wrong_kind(answer.value, kind)
    return answer.value


async def _in_catalog(client: ConsulClient, *, node: str, proxy_id: str, kind: str) -> Registration:
    try:
        found = await client.node_services(node, service_id=proxy_id)
        known = found or await client.node_services(node)
    except NotFoundError as exc:
        message = (
            f"no node '{node}' is in the catalog: check -node-name and -datacenter; with ACLs the token "
            "must be allowed to read it (node:read)"
        )
        raise RegistrationMissingError(message) from exc
    if not found:
        proxies = {one.id for one in known if one.kind == kind}
        message = (
            f"no proxy with id '{proxy_id}' is in the catalog of node '{node}': {_hint(proxy_id, proxies)}"
        )
        raise RegistrationMissingError(message)
    if len(found) > 1:
        message = (
            f"{len(found)} services with id '{proxy_id}' are in the catalog of node '{node}': "
            "say which with -namespace"
        )
        raise RegistrationAmbiguousError(message, proxy_ids=[one.id for one in found])
    if found[0].kind != kind:
        raise _wrong_kind(found[0], kind, at_agent=False)
    return found[0]


def _the_only(kind: str, services: Mapping[str, Registration]) -> str:
    """The id of the one instance of *kind*."""
    ids = sorted(one.id for one in services.values() if one.kind == kind)
    if len(ids) == 1:
        return ids[0]
    if ids:
        listed = ", ".join(f"'{one}'" for one in ids)
        message = (
            f"{len(ids)} services of kind '{kind}' are at this agent: {listed}; say which with -proxy-id"
        )
        raise RegistrationAmbiguousError(message, proxy_ids=ids)
    message = (
        f"no service of kind '{kind}' is registered at this agent: register it (-register does), or ask "
        "another agent (-http-addr)"
    )
    raise RegistrationMissingError(message)


def _the_sidecar_of(service_id: str, services: Mapping[str, Registration]) -> str:
    """The id of the one sidecar of *service_id*, compared without case as Consul does."""
    proxies = [one for one in services.values() if one.kind == CONNECT_PROXY]
    wanted = service_id.lower()
    ids = sorted(one.id for one in proxies if one.destination_service_id.lower() == wanted)
    if len(ids) == 1:
        return ids[0]
    if ids:
        listed = ", ".join(f"'{one}'" for one in ids)
        message = (
            f"'{service_id}' has {len(ids)} sidecar proxies at this agent: {listed}; "
            "say which with -proxy-id"
        )
        raise RegistrationAmbiguousError(message, proxy_ids=ids)
    if any(one.id == service_id for one in proxies):
        hint = f"that is the id of a proxy itself: -proxy-id {service_id} may be meant"
    else:
        hint = _hint(service_id, {one.destination_service_id for one in proxies})
    message = f"no sidecar proxy is registered for service id '{service_id}' at this agent: {hint}"
    raise RegistrationMissingError(message)


def _missing(proxy_id: str, services: Mapping[str, Registration], kind: str) -> RegistrationMissingError:
    proxies = {one.id for one in services.values() if one.kind == kind}
    message = f"no proxy with id '{proxy_id}' is registered at this agent: {_hint(proxy_id, proxies)}"
    return RegistrationMissingError(message)


def _wrong_kind(found: Registration, wanted: str, *, at_agent: bool = True) -> WrongKindError:
    kind = found.kind or "a plain service"
    what = "a sidecar proxy" if wanted == CONNECT_PROXY else "such a gateway"
    hint = "" if found.kind or not at_agent else f"; for its sidecar use -sidecar-for {found.id}"
    message = f"'{found.id}' is of the wrong kind: '{kind}', not '{wanted}': give the id of {what}{hint}"
    return WrongKindError(message)


def _hint(wanted: str, known: Iterable[str]) -> str:
    """The names that may have been meant, else how to register one."""
    import difflib

    names = sorted(name for name in known if name)
    near = (
        difflib.get_close_matches(wanted, names, n=3)
        or [n for n in names if wanted.lower() in n.lower()][:3]
    )
    if near:
        return "did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return (
        "register it, or ask another agent (-http-addr); with ACLs the token must be allowed to read it "
        "(service:read)"
    )


def _reason(exc: Exception, client: ConsulClient) -> str:
    if isinstance(exc, ConnectProxyError):
        return str(exc)
    return f"the Consul agent at '{client.access.url}' did not answer in time"
