"""Bytes between an application's socket and a TLS channel, both ways, until both ways have ended.

The hot path. Rules (docs/performance.md): read only what was announced, one read for each event;
decrypt and encrypt through shared buffers; send once; on a short write keep the rest, stop reading
the other side, and ask for writability. Nothing else is ever queued. What a slot holds is called by
way of a local name: ``self.slot()`` is a look-up of a method first, which Python does not cache for slots.

An end travels as an end: an application's FIN becomes a close_notify, a peer's close_notify becomes
a FIN. A TLS stream that breaks off without close_notify was cut by somebody: the application gets a
reset, so that it cannot take a part for the whole.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Final

from connect_proxy_builtin.idle_watch import IdleWatch
from connect_proxy_builtin.poller import ERR, HUP, IN, OUT
from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.socket_errors import cause, reset_at_close
from connect_proxy_builtin.tls.channel import SLICE, TlsChannel

UNWATCHED: Final = -1
UNSET: Final = -2
"""Whatever the handshake waited for last."""


class Relay:
    """One connection once both its sides stand. ``finished`` is called once, with a reason.

    The reason is empty after an orderly end of both directions.
    """

    __slots__ = (
        "_channel",
        "_clear",
        "_fin_sent",
        "_finished",
        "_idle",
        "_open",
        "_over",
        "_plain",
        "_plain_ended",
        "_plain_fd",
        "_plain_mask",
        "_plain_recv",
        "_plain_rest",
        "_plain_send",
        "_reactor",
        "_records",
        "_seal",
        "_tls_ended",
        "_tls_fd",
        "_tls_mask",
        "_tls_recv",
        "_tls_rest",
        "_tls_send",
        "_wire",
        "from_app",
        "to_app",
    )

    def __init__(
        self,
        reactor: Reactor,
        plain: socket.socket,
        channel: TlsChannel,
        finished: Callable[[str], None],
        *,
        idle_timeout_s: float = 0.0,
    ) -> None:
        """Both sockets are watched already; from :meth:`start` on the relay owns them."""
        self._reactor, self._plain, self._channel = reactor, plain, channel
        self._finished = finished
        self.from_app = self.to_app = 0
        self._plain_ended = self._tls_ended = self._fin_sent = self._over = False
        self._plain_rest = memoryview(b"")
        self._tls_rest = memoryview(channel.unsent)
        self._plain_fd, self._tls_fd = plain.fileno(), channel.sock.fileno()
        self._plain_mask = self._tls_mask = UNSET
        self._idle: IdleWatch | None = None
        if idle_timeout_s:
            self._idle = IdleWatch(
                reactor,
                idle_timeout_s,
                lambda: self.from_app + self.to_app,
                lambda: self.abort("idle for too long"),
            )
        # Every method of the hot path is looked up once.
        self._plain_recv, self._plain_send = plain.recv_into, plain.send
        self._tls_recv, self._tls_send = channel.sock.recv_into, channel.sock.send
        self._wire, self._clear = reactor.wire, reactor.clear
        self._records = channel.records(self._wire, self._clear)
        self._open, self._seal = self._records.open, self._records.seal

    def start(self, *, speaking: bool = False) -> None:
        """Begin with what the handshake left in the buffers.

        *speaking*: what the handshake has still to send goes now, with the application's first bytes if
        they are there already. Else it goes with the first that come.
        """
        self._reactor.hand_to(self._plain_fd, self.on_plain)
        self._reactor.hand_to(self._tls_fd, self.on_tls)
        try:
            if self._channel.incoming.pending:
                self._deliver(self._open(0))
                self._tls_ended = self._records.ended
        except OSError as exc:
            self.abort(cause(exc))
        self._settle()
        if speaking:
            self._speak()

    def _speak(self) -> None:
        if self._plain_mask == IN:
            self.on_plain(IN)
        try:
            if not self._over and (rest := self._channel.outgoing.read()):
                self._send_tls(rest)
        except OSError as exc:
            self.abort(cause(exc))

    # ------------------------------------------------------------ application to mesh

    def on_plain(self, mask: int) -> None:
        """Events of the application's socket."""
        if mask != IN and self._plain_special(mask):
            return
        receive, seal = self._plain_recv, self._seal
        try:
            count = receive(self._wire)
            if not count:
                self._end_of_plain()
                return
            self.from_app += count
            if count <= SLICE:
                self._send_tls(seal(0, count))
                return
            for start in range(0, count, SLICE):
                self._send_tls(seal(start, min(start + SLICE, count)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self.abort(cause(exc))

    def _send_tls(self, data: bytes | memoryview) -> None:
        """Send records; what does not go now waits, and stops the reading of the application."""
        if self._tls_rest:
            self._tls_rest = memoryview(bytes(self._tls_rest) + data)
            return
        send = self._tls_send
        try:
            sent = send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent != len(data):
            self._tls_rest = memoryview(bytes(data[sent:]))
            self._settle()

    def _end_of_plain(self) -> None:
        """The application sends no more: tell the peer, and go on listening to it."""
        self._plain_ended = True
        self._channel.close_notify()
        self._send_tls(self._channel.outgoing.read())
        self._settle()

    # ------------------------------------------------------------ mesh to application

    def on_tls(self, mask: int) -> None:
        """Events of the TLS side's socket."""
        if mask != IN and self._tls_special(mask):
            return
        receive, open_records = self._tls_recv, self._open
        try:
            count = receive(self._wire)
            if not count:
                self.abort("the peer cut the TLS stream off")
                return
            filled = open_records(count)
            if filled:
                self._deliver(filled)
            if self._records.ended:
                self._tls_ended = True
                self._settle()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self.abort(cause(exc))

    def _deliver(self, filled: int) -> None:
        """Send clear bytes; what does not go now waits, and stops the reading of the peer."""
        self.to_app += filled
        view, send = self._clear[:filled], self._plain_send
        try:
            sent = send(view)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent != filled:
            self._plain_rest = memoryview(bytes(view[sent:]))
            self._settle()

    # ------------------------------------------------------------ everything but plain reading

    def _plain_special(self, mask: int) -> bool:
        """Writability, errors and hang-ups; whether nothing is left to do for this event."""
        if mask & OUT and not self._over:
            self._plain_rest = self._flush(self._plain_rest, self._plain_send)
            self._settle()
        if self._over or (self._plain_mask & IN and mask & (IN | ERR | HUP)):
            # With an error pending, what was received before it is still read first.
            return self._over
        if mask & ERR:
            self.abort("the application reset the connection")
        elif mask & HUP:
            # It is gone for good but must not be read now: unwatch, or it would be reported for ever.
            self._reactor.unwatch(self._plain_fd)
            self._plain_mask = UNWATCHED
            self._settle()
        return True

    def _tls_special(self, mask: int) -> bool:
        if mask & OUT and not self._over:
            self._tls_rest = self._flush(self._tls_rest, self._tls_send)
            self._settle()
        if self._over or (self._tls_mask & IN and mask & (IN | ERR | HUP)):
            return self._over
        if mask & (ERR | HUP):
            self.abort("the peer reset the connection")
        return True

    def _flush(self, rest: memoryview, send: Callable[[memoryview], int]) -> memoryview:
        try:
            return rest[send(rest) :] if rest else rest
        except (BlockingIOError, InterruptedError):
            return rest
        except OSError as exc:
            self.abort(cause(exc))
            return rest

    def _settle(self) -> None:
        """Pass ends on, finish if both directions have ended, and ask for the events that are needed."""
        if self._over:
            return
        if self._tls_ended and not self._plain_rest and not self._fin_sent:
            self._fin_sent = True
            # Not connected any more: its reset is reported as an event of its own.
            with contextlib.suppress(OSError):
                self._plain.shutdown(socket.SHUT_WR)
        if self._tls_ended and self._plain_ended and not self._plain_rest and not self._tls_rest:
            self._finish("")
            return
        plain = (IN if not self._plain_ended and not self._tls_rest else 0) | (
            OUT if self._plain_rest else 0
        )
        tls = (IN if not self._tls_ended and not self._plain_rest else 0) | (OUT if self._tls_rest else 0)
        if plain != self._plain_mask and (plain or self._plain_mask != UNWATCHED):
            if self._plain_mask == UNWATCHED:
                self._reactor.watch(self._plain_fd, plain, self.on_plain)
            else:
                self._reactor.want(self._plain_fd, plain)
            self._plain_mask = plain
        if tls != self._tls_mask:
            self._reactor.want(self._tls_fd, tls)
            self._tls_mask = tls

    def abort(self, reason: str) -> None:
        """Reset both sides."""
        if self._over:
            return
        reset_at_close(self._plain)
        reset_at_close(self._channel.sock)
        self._finish(reason)

    def _finish(self, reason: str) -> None:
        self._over = True
        if self._idle is not None:
            self._idle.stop()
        self._reactor.dispose(self._plain)
        self._reactor.dispose(self._channel.sock)
        self._finished(reason)
