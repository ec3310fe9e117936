"""The listening sockets that are wanted, against those that are open: applied as a difference."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connect_proxy.errors import ConfigurationError, PortInUseError
from connect_proxy_builtin.binding import everywhere_beside, is_dual, listen, share_port
from connect_proxy_builtin.inheritance import Inherited
from connect_proxy_builtin.messages import CloseListener, OpenListener, Order
from connect_proxy_builtin.policy import ConnectionLimits, PlanePolicy, SocketAddress

log = logging.getLogger("connect_proxy.builtin")

PUBLIC = ""
"""The name of the public listener; upstream listeners are named by their upstream's id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One listener as it should be."""

    name: str
    address: SocketAddress
    limits: ConnectionLimits

    @property
    def what(self) -> str:
        """For messages."""
        return f"upstream {self.name!r}" if self.name else "public listener"

    @property
    def inheritable_as(self) -> str:
        """What it is called between a process and its successor: the same listener, on the same address."""
        return f"{self.name} {self.address}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """One listener as it is."""

    key: str
    wanted: Wanted
    socks: tuple[socket.socket, ...]
    """One, but for all addresses beside a process that has those of IPv4 apart."""

    @property
    def sock(self) -> socket.socket:
        return self.socks[0]

    def keys(self) -> list[str]:
        """As the workers know each."""
        return [f"{self.key} {number}" for number in range(len(self.socks))]


def wanted_listeners(policy: PlanePolicy) -> dict[str, Wanted]:
    """What *policy* asks for, by name. An upstream without port and path is skipped: it has none."""
    wanted = {
        upstream.id: Wanted(name=upstream.id, address=upstream.listen, limits=upstream.limits)
        for upstream in policy.upstreams
        if upstream.listen.port or upstream.listen.path
    }
    if policy.public is not None:
        wanted[PUBLIC] = Wanted(name=PUBLIC, address=policy.public, limits=policy.inbound.limits)
    return wanted


class Listeners:
    """Opens and closes; every worker accepts on all of them."""

    def __init__(
        self,
        workers: Sequence[Callable[[Order], None]],
        *,
        inherited: Inherited | None = None,
        shared: Collection[str] = (),
    ) -> None:
        """*workers*: how each worker is told. *inherited*: what need not be opened anew. *shared*: where a
        process beside this one listens (``ProxyContext.shared_addresses``)."""
        self._inherited = inherited or Inherited({})
        self._workers = tuple(workers)
        self._wanted: dict[str, Wanted] = {}
        self._open: dict[str, Open] = {}
        self._failures: dict[str, str] = {}
        self._left: set[SocketAddress] = set()
        self._serial = 0
        self._started = False
        self._share = bool(shared)
        self._shared = frozenset(shared)

    @property
    def complete(self) -> bool:
        """Whether everything that is wanted is open, where it is wanted."""
        return not self._missing()

    @property
    def failures(self) -> Mapping[str, str]:
        """By listener name: why it could not be opened."""
        return dict(self._failures)

    def addresses(self) -> dict[str, str]:
        """By listener name: where it really listens."""
        return {name: _bound_address(each.sock) for name, each in self._open.items()}

    def apply(self, wanted: Mapping[str, Wanted]) -> dict[str, ConfigurationError | PortInUseError]:
        """Close what is not wanted, open what is missing. What could not be opened, by name."""
        self._wanted = dict(wanted)
        for name in [name for name in self._open if name not in wanted]:
            self.close(name)
        failed = self.retry()
        self._started = True
        self._inherited.close_rest()  # nobody would ever answer who connects there
        return failed

    def retry(self) -> dict[str, ConfigurationError | PortInUseError]:
        """Open what is missing. An old address is given up once the new one is open."""
        missing = self._missing()
        for wanted in missing:
            # Two upstreams may have swapped their ports: who is leaving an address lets go of it first.
            for leaving in [each.name for each in missing if each.name != wanted.name]:
                if leaving in self._open and self._open[leaving].wanted.address == wanted.address:
                    self.close(leaving)
        failed = {wanted.name: exc for wanted in missing if (exc := self._try(wanted)) is not None}
        for name, exc in failed.items():
            # What we just left ourselves is free once every worker has closed it, in a moment.
            new = self._failures.get(name) != str(exc) and self._wanted[name].address not in self._left
            if new and self._started:  # at the start it ends the run instead
                log.error("%s; it is tried again every few seconds", exc)
        self._left.clear()
        self._failures = {name: str(exc) for name, exc in failed.items()}
        return failed

    def _missing(self) -> list[Wanted]:
        return [
            wanted
            for name, wanted in self._wanted.items()
            if name not in self._open or self._open[name].wanted.address != wanted.address
        ]

    def _try(self, wanted: Wanted) -> PortInUseError | ConfigurationError | None:
        try:
            socks = self._listening(wanted)
        except (PortInUseError, ConfigurationError) as exc:
            return exc
        self.close(wanted.name)
        self._serial += 1
        opened = Open(key=f"{self._serial} {wanted.name}", wanted=wanted, socks=tuple(socks))
        self._open[wanted.name] = opened
        for key, sock in zip(opened.keys(), socks, strict=True):
            for post in self._workers:
                post(
                    OpenListener(
                        key=key,
                        descriptor=os.dup(sock.fileno()),
                        family=sock.family,
                        upstream_id=wanted.name,
                    )
                )
            log.info("%s: listening on %s", wanted.what, _bound_address(sock))
        return None

    def _listening(self, wanted: Wanted) -> list[socket.socket]:
        """Raises PortInUseError, ConfigurationError."""
        address = wanted.address
        inherited = self._inherited.take(wanted.inheritable_as)
        if inherited is not None:
            return [inherited]
        if not (address.host or address.path) and f"0.0.0.0:{address.port}" in self._shared:
            return everywhere_beside(address.port, wanted.limits, what=wanted.what)
        return [listen(address, wanted.limits, what=wanted.what, share=self._share)]

    def drop(self, name: str) -> None:
        """Close it, and do not open it again."""
        self._wanted.pop(name, None)
        self._failures.pop(name, None)
        self.close(name)

    def close(self, name: str) -> None:
        """Stop accepting there, if it is open. What already waits is still served."""
        opened = self._open.pop(name, None)
        if opened is None:
            return
        self._let_go(opened)
        self._left.add(opened.wanted.address)
        path = opened.wanted.address.path
        if path and self._wanted.get(name, opened.wanted).address.path != path:
            Path(path).unlink(missing_ok=True)

    def unshareable(self) -> str:
        """The path of a unix socket that is open, if there is one: no two processes listen there."""
        return next(
            (each.wanted.address.path for each in self._open.values() if each.wanted.address.path), ""
        )

    def share(self, share: bool) -> list[str]:
        """Whether a process beside this one may listen on these TCP addresses, and on those to come."""
        self._share = share
        self._shared = frozenset()
        socks = [sock for opened in self._open.values() for sock in opened.socks]
        tcp = [sock for sock in socks if sock.family != socket.AF_UNIX]
        for sock in tcp:
            share_port(sock, share=share)
        return [f":{sock.getsockname()[1]}" if is_dual(sock) else _bound_address(sock) for sock in tcp]

    def inheritable(self) -> dict[str, int]:
        """Descriptors for a successor."""
        return {each.wanted.inheritable_as: each.sock.fileno() for each in self._open.values()}

    def leave_all(self) -> None:
        """A successor listens there: stop accepting, and leave everything where it is."""
        self._wanted = {}
        self._failures = {}
        for opened in self._open.values():
            self._let_go(opened)
        self._open = {}

    def _let_go(self, opened: Open) -> None:
        for key, sock in zip(opened.keys(), opened.socks, strict=True):
            for post in self._workers:
                post(CloseListener(key=key))
            sock.close()

    def close_all(self) -> None:
        """Stop accepting anywhere, for good."""
        for name, opened in list(self._open.items()):
            self.close(name)
            if opened.wanted.address.path:
                Path(opened.wanted.address.path).unlink(missing_ok=True)
        self._wanted = {}


def _bound_address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if isinstance(name, str | bytes):
        return f"unix://{os.fsdecode(name)}"
    return str(SocketAddress(host=name[0], port=name[1]))
