"""Which port each managed proxy listens on: its own word, the port it had, else a free one of the range."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from connect_proxy.errors import ConfigurationError, PortsExhaustedError
from connect_proxy.managed.definitions.configuration import ManagedProxy, PortRanges
from connect_proxy.mesh.immutable import EMPTY

_NOT_ABOUT_THE_PORT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EACCES, errno.EAFNOSUPPORT})
"""The proxy says better what is wrong with its address."""

IsFree = Callable[[str, int], bool]


class PortAllocator:
    """Assigns ports. Nothing is reserved: who is told a port listens on it soon."""

    def __init__(
        self,
        ranges: PortRanges,
        *,
        is_free: IsFree | None = None,
        shuffled: Callable[[list[int]], list[int]] | None = None,
    ) -> None:
        """*is_free* tells of an address and a port whether a listener could have it now; *shuffled*
        gives the ports of a range in the order of trial."""
        self._ranges = ranges
        self._is_free = is_free or can_bind
        self._shuffled = shuffled or _shuffled

    def assign(
        self,
        proxies: Iterable[ManagedProxy],
        *,
        kept: Mapping[str, int],
        given: Mapping[str, int] = EMPTY,
        taken: Iterable[int] = (),
        default_address: str = "",
    ) -> Mapping[str, int]:
        """The port of every proxy, by its id.

        ``config.bind_port``, else what *given* has for it (``sidecar_ports()``), is taken as it stands.
        Else a proxy keeps the port that *kept* has for it, without a look whether it is free (the proxy
        itself may listen there), unless another one or an upstream has it. Else managed proxies get a
        random one of ``proxy_min..max``, sidecars the lowest of ``sidecar_min..max`` that no other proxy
        and no upstream of theirs has, that is not in *taken* (ports of other local services) and that is
        really free on the proxy's ``bind_address`` (*default_address* if it names none).

        Raises PortsExhaustedError naming the range, and ConfigurationError for a ``bind_port`` that is
        no port.
        """
        wanted = list(proxies)
        assigned = {
            proxy.id: port
            for proxy in wanted
            if (port := explicit_port(proxy.config) or given.get(proxy.id, 0))
        }
        upstreams = {one.local_bind_port for proxy in wanted for one in proxy.upstreams}
        for proxy in wanted:
            port = kept.get(proxy.id, 0)
            if port and proxy.id not in assigned and port not in {*assigned.values(), *upstreams}:
                assigned[proxy.id] = port
        held = {*assigned.values(), *taken, *upstreams}
        for proxy in wanted:
            if proxy.id not in assigned:
                assigned[proxy.id] = self._new(proxy, held, default_address)
                held.add(assigned[proxy.id])
        return assigned

    def _new(self, proxy: ManagedProxy, held: set[int], default_address: str) -> int:
        kind = "sidecar" if proxy.is_sidecar else "proxy"
        ranges = self._ranges
        if proxy.is_sidecar:
            first, last = ranges.sidecar_min, ranges.sidecar_max
        else:
            first, last = ranges.proxy_min, ranges.proxy_max
        ports = list(range(first, last + 1)) if first else []
        address = str(proxy.config.get("bind_address") or default_address)
        for port in ports if proxy.is_sidecar else self._shuffled(ports):
            if port not in held and self._is_free(address, port):
                return port
        found = f"none is free from {first} to {last}" if ports else "allocation is switched off"
        message = (
            f"no port for the proxy '{proxy.id}': {found} (ports.{kind}_min_port, ports.{kind}_max_port);"
            " widen that range, or set bind_port in the proxy's config"
        )
        raise PortsExhaustedError(message)


def explicit_port(config: Mapping[str, Any]) -> int:
    """``bind_port`` (a number, or its text), 0 where there is none. Raises ConfigurationError."""
    given = config.get("bind_port")
    if given is None or given == "":
        return 0
    try:
        port = 0 if isinstance(given, bool) else int(given)
    except (TypeError, ValueError):
        port = 0
    if not 0 < port < 65536 or (isinstance(given, float) and given != port):
        message = f"bind_port is '{given}': not a port; give a number from 1 to 65535, or leave it out"
        raise ConfigurationError(message)
    return port


def can_bind(address: str, port: int) -> bool:
    """Whether a listener could have this port now. An empty or wildcard address means all of them."""
    try:
        found = socket.getaddrinfo(
            address or None,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV,
        )
    except OSError:
        return True  # A name that cannot be resolved is the proxy's own trouble, told when it starts.
    return all(_binds(family, target) for family, _kind, _protocol, _name, target in found)


def _binds(family: socket.AddressFamily, target: Any) -> bool:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return True  # A machine without IPv6.
    with probe:
        # As the proxies do: connections of the last listener in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(target)
            probe.listen(1)
        except OSError as exc:
            return exc.errno in _NOT_ABOUT_THE_PORT
    return True


def _shuffled(ports: list[int]) -> list[int]:
    return random.sample(ports, len(ports))
