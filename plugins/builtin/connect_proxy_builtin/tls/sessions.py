"""Resuming TLS sessions towards upstream instances: the costly part of a handshake is done once.

A store belongs to one generation of certificates and goes with it. A resumed session still carries
the peer's certificate, which is checked for each connection, and our own server side asks for the
caller's authorisation each time.

Servers written in Go do not run their verification callback for resumed sessions
(``tls.Config.VerifyPeerCertificate``): Consul's own proxy would not ask for the caller's
authorisation. So a session is resumed only with a lifetime that Go's servers never give: theirs is
seven days in TLS 1.3 and none in TLS 1.2 (Go, ``crypto/tls``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from connect_proxy_builtin.policy import Target

LONGEST_LIFETIME_S: Final = 24 * 3600
CANDIDATES: Final = 4
"""A connection that is kept holds the memory of its TLS."""
REFRESH_S: Final = 120.0
"""A newer ticket is taken after this long: servers change the keys of their tickets."""


class Resumable(Protocol):
    """What is kept to resume with: ``ssl.SSLSession`` or like it."""

    @property
    def has_ticket(self) -> bool:
        """Whether the server gave one."""

    @property
    def ticket_lifetime_hint(self) -> int:
        """Seconds, as the server said."""


class Connection(Protocol):
    """What it comes from: ``ssl.SSLObject`` or like it."""

    @property
    def session(self) -> Resumable | None:
        """Costs a copy."""

    @property
    def session_reused(self) -> bool | None:
        """Whether the handshake resumed."""


@dataclass(slots=True)
class _Known:
    candidates: deque[Connection] = field(default_factory=deque)
    """Connections that proved their identity and may get a ticket, in the order of looking."""
    session: Any = None
    taken_at: float = 0.0

    def add(self, connection: Connection) -> None:
        """The newest one: it is kept where there is a ticket already; where not, the first few are."""
        if self.session is not None:
            self.candidates.clear()
        if len(self.candidates) < CANDIDATES:
            self.candidates.append(connection)

    def look(self, now: float) -> None:
        """Whether the next one has a ticket by now. One look for each question: it costs a copy."""
        if not self.candidates:
            return
        connection = self.candidates.popleft()
        session = connection.session
        if session is None or not session.has_ticket:
            self.candidates.append(connection)  # not yet
            return
        self.candidates.clear()
        if 0 < session.ticket_lifetime_hint <= LONGEST_LIFETIME_S:
            self.session, self.taken_at = session, now


class SessionStore:
    """Per instance and identity. For one worker."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Target, _Known] = {}

    def session_for(self, target: Target) -> Any:
        """What to resume with, of the engine's own type; None: shake hands in full.

        A ticket comes with the first bytes after a handshake, and taking it out costs a copy: so it is
        taken when it is needed. The newest connections may have none yet, when many come at once.
        """
        known = self._known.get(target)
        if known is None:
            return None
        now = self._clock()
        if known.session is None or now - known.taken_at > REFRESH_S:
            known.look(now)
        return known.session

    def proved(self, target: Target, connection: Connection, *, offered: bool) -> None:
        """A connection to *target* is through; *offered*: a session was there to resume."""
        known = self._known.setdefault(target, _Known())
        known.add(connection)
        if offered and not connection.session_reused:
            known.session = None

    def failed(self, target: Target) -> None:
        """Shake hands in full the next time."""
        self._known.pop(target, None)
