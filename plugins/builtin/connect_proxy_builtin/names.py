"""Host names in a policy become addresses before a data worker sees them: its loop may never wait.

Addresses in Consul are IP addresses nearly always. A name that does not resolve (any more) keeps the
address it had; without one it stays a name, and dialling it is an error.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator

from connect_proxy_builtin.policy import PlanePolicy

log = logging.getLogger("connect_proxy.builtin")

LookUp = Callable[[str], Awaitable[str]]
"""An address of a name. Raises OSError."""


async def look_up(name: str) -> str:
    """By the system's resolver, in a thread.

    IPv4 if there is one: ``localhost`` often stands for ``::1`` too, where fewer applications listen.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    first = min(found, key=lambda each: each[0] != socket.AF_INET)
    return str(first[4][0])


@functools.lru_cache(maxsize=4096)
def is_name(host: str) -> bool:
    """Whether it has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return False


def names_in(policy: PlanePolicy) -> Iterator[str]:
    """Every host name that would be dialled, once."""
    hosts = [target.address for upstream in policy.upstreams for target in upstream.targets]
    yield from dict.fromkeys(host for host in [*hosts, policy.inbound.application.host] if is_name(host))


class Names:
    """Remembers what names resolved to."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._known: dict[str, str] = {}
        self._failing: set[str] = set()

    async def resolved(self, policy: PlanePolicy) -> PlanePolicy:
        """*policy* with addresses in the place of names."""
        names = list(names_in(policy))
        if not names:
            return policy
        await asyncio.gather(*(self._resolve(name) for name in names))
        return _replaced(policy, self._known)

    async def _resolve(self, name: str) -> None:
        try:
            self._known[name] = await self._look_up(name)
        except OSError as exc:
            if name not in self._failing:
                log.error("the host name %r cannot be resolved: %s", name, exc.strerror or exc)
            self._failing.add(name)
        else:
            self._failing.discard(name)


def _replaced(policy: PlanePolicy, known: dict[str, str]) -> PlanePolicy:
    application = policy.inbound.application
    upstreams = tuple(
        dataclasses.replace(
            upstream,
            targets=tuple(
                dataclasses.replace(target, address=known.get(target.address, target.address))
                for target in upstream.targets
            ),
        )
        for upstream in policy.upstreams
    )
    address = dataclasses.replace(application, host=known.get(application.host, application.host))
    return dataclasses.replace(
        policy, upstreams=upstreams, inbound=dataclasses.replace(policy.inbound, application=address)
    )
