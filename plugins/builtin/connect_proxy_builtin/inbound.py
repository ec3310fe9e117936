"""A caller's connection: first byte, handshake, identity, Consul's word, and only then the application."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Final

from connect_proxy.errors import PeerRefusedError
from connect_proxy_builtin import proxy_protocol
from connect_proxy_builtin.connection_states import INBOUND, Event, State, after
from connect_proxy_builtin.dialling import dial
from connect_proxy_builtin.messages import AuthorizeSource, Closed, Decide, Say
from connect_proxy_builtin.policy import InboundPolicy, SocketAddress
from connect_proxy_builtin.poller import IN, OUT
from connect_proxy_builtin.relay import Relay
from connect_proxy_builtin.socket_errors import cause, is_of_tls, pending_error
from connect_proxy_builtin.timers import Timer
from connect_proxy_builtin.tls.channel import TlsChannel, receive
from connect_proxy_builtin.tls.engine import Generation
from connect_proxy_builtin.tls.peer_identity import PeerIdentity
from connect_proxy_builtin.worker_state import Source, WorkerState

TCP_CHECK: Final = "tcp_check"
"""Came and went without a byte: a health check, not worth a line in any log."""


class Inbound:
    """One accepted connection of the public listener."""

    __slots__ = (
        "_app",
        "_began",
        "_channel",
        "_peer",
        "_policy",
        "_reason",
        "_relay",
        "_sock",
        "_source",
        "_state",
        "_timer",
        "_tls",
        "_world",
    )

    def __init__(
        self, world: WorkerState, sock: socket.socket, *, tls: Generation, policy: InboundPolicy
    ) -> None:
        self._world, self._sock, self._tls, self._policy = world, sock, tls, policy
        self._state = State.WAITING
        self._began = world.reactor.now
        self._reason = "ended"
        self._channel: TlsChannel | None = None
        self._app: socket.socket | None = None
        self._relay: Relay | None = None
        self._peer: PeerIdentity | None = None
        self._source: Source | None = None
        world.open.add(self)
        world.counters["inbound_open"] += 1
        world.counters["inbound_accepted"] += 1
        self._timer: Timer | None = world.reactor.call_later(policy.handshake_timeout_s, self._late)
        world.reactor.watch(sock.fileno(), IN, self._on_handshake)

    def __repr__(self) -> str:
        caller = self._peer.uri if self._peer else "unknown caller"
        return f"<Inbound {self._state.value}: {caller}>"

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    # ------------------------------------------------------------ handshake

    def _on_handshake(self, _mask: int) -> None:
        """The caller sent something, or can be sent something."""
        wire = self._world.reactor.wire
        try:
            count = receive(self._sock, wire)
            if count == 0:
                self._caller_left()
                return
            if self._channel is None:
                if count < 0:
                    return
                self._state = after(INBOUND, self._state, Event.FIRST_BYTE)
                self._channel = self._tls.accepted(self._sock, hello=wire[:count])
            channel = self._channel
            if count > 0:
                channel.incoming.write(wire[:count])
            elif not channel.unsent:
                return
            done = channel.handshake(rest_waits=True)
        except OSError as exc:
            self._handshake_failed(exc)
            return
        self._world.reactor.want(self._sock.fileno(), IN | OUT if channel.unsent else IN)
        if done:
            self._identify(channel)

    def _caller_left(self) -> None:
        if self._state is State.WAITING:
            # A TCP health check, or a port scan: it proved nothing and failed nothing.
            self._close(TCP_CHECK)
        else:
            self._refuse("handshake_failed", "the caller left during the handshake")

    def _handshake_failed(self, exc: OSError) -> None:
        if self._state is State.WAITING and not is_of_tls(exc):
            self._close(TCP_CHECK)
        else:
            self._refuse("handshake_failed", cause(exc))

    def _identify(self, channel: TlsChannel) -> None:
        self._world.counters["inbound_handshakes"] += 1
        self._world.counters[f"inbound_tls_versions.{channel.session.version()}"] += 1
        try:
            self._peer = self._tls.identities.check(channel.session.getpeercert(binary_form=True))
        except PeerRefusedError as exc:
            self._refuse(f"identity_{exc.reason}", str(exc))
            return
        self._state = after(INBOUND, self._state, Event.IDENTIFIED)
        self._source = self._world.sources.setdefault(self._peer.uri, Source(serial=self._peer.serial))
        self._source.connections.add(self)
        if self._source.decision is not None:
            self.decided(self._source.decision)
            return
        self._world.reactor.rewatch(self._sock.fileno(), 0, self._on_left)
        if not self._source.asked:
            self._source.asked = True
            self._world.tell(AuthorizeSource(source=self._peer.uri, serial=self._peer.serial))

    def _on_left(self, _mask: int) -> None:
        """While it waits for a decision or the application, only errors and hang-ups are watched for."""
        self._close("caller_left")

    # ------------------------------------------------------------ authorisation

    def decided(self, decision: Decide) -> None:
        """Consul's answer for this caller: at the beginning, and again whenever intentions changed."""
        waiting = self._state is State.AUTHORIZING
        if not decision.allowed and (waiting or decision.lasting):
            kind = "denied" if decision.lasting else "undecided"
            self._refuse(kind, f"not authorised: {decision.reason}")
        elif decision.allowed and waiting:
            self._state = after(INBOUND, self._state, Event.ALLOWED)
            self._dial()

    # ------------------------------------------------------------ application

    def _dial(self) -> None:
        reactor = self._world.reactor
        if self._timer is not None:
            self._timer.cancel()
        self._timer = reactor.call_later(self._policy.connect_timeout_s, self._late)
        try:
            self._app, connected = dial(self._policy.application)
        except OSError as exc:
            self._refuse("application_unreachable", f"{self._policy.application}: {cause(exc)}")
            return
        reactor.watch(self._app.fileno(), IN if connected else OUT, self._on_dialled)
        if connected:
            self._connected(self._app)
        else:
            reactor.rewatch(self._sock.fileno(), 0, self._on_left)

    def _on_dialled(self, _mask: int) -> None:
        assert self._app is not None
        error = pending_error(self._app)
        if error:
            why = f"{self._policy.application}: {error}"
            self._refuse("application_unreachable", why)
        else:
            self._connected(self._app)

    def _connected(self, app: socket.socket) -> None:
        assert self._channel is not None
        if self._timer is not None:
            self._timer.cancel()
        if self._policy.proxy_protocol and not self._introduce(app, self._channel):
            return
        self._state = after(INBOUND, self._state, Event.CONNECTED)
        self._relay = Relay(
            self._world.reactor,
            app,
            self._channel,
            self._relayed,
            idle_timeout_s=self._policy.limits.idle_timeout_s,
        )
        self._relay.start()

    def _introduce(self, app: socket.socket, channel: TlsChannel) -> bool:
        """Send the PROXY header; a fresh socket has room for it."""
        assert self._peer is not None
        try:
            data = proxy_protocol.header(
                source=self._sock.getpeername()[:2],
                destination=self._sock.getsockname()[:2],
                uri=self._peer.uri,
                tls_version=channel.session.version() or "",
            )
            if app.send(data) == len(data):
                return True
            why = "it takes no PROXY header"
        except OSError as exc:
            why = cause(exc)
        self._refuse("application_unreachable", f"{self._policy.application}: {why}")
        return False

    # ------------------------------------------------------------ ends

    def _late(self) -> None:
        self._timer = None
        match self._state:
            case State.WAITING | State.HANDSHAKING:
                self._refuse("handshake_timeout", "no handshake within handshake_timeout_ms")
            case State.AUTHORIZING:
                self._refuse("undecided", "Consul gave no answer in time")
            case _:
                self._refuse("application_unreachable", f"{self._policy.application}: timed out")

    def _refuse(self, kind: str, why: str) -> None:
        """Close and say so."""
        caller = self._peer.uri if self._peer else "a caller"
        text = f"public listener: closed a connection of {caller}: {why}"
        self._world.tell(Say(level=logging.WARNING, text=text, kind=kind))
        self._close(kind)

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._close(reason)

    def _close(self, kind: str) -> None:
        """Close before or during the relaying; counted under *kind*."""
        if self._state is State.CLOSED:
            return
        self._world.counters[f"inbound_refused.{kind}"] += 1
        self._reason = kind
        if self._relay is not None:
            self._relay.abort(kind)
            return
        reactor = self._world.reactor
        reactor.dispose(self._sock)
        if self._app is not None:
            reactor.dispose(self._app)
        self._over()

    def _relayed(self, reason: str) -> None:
        assert self._relay is not None
        counters = self._world.counters
        for name, count in self.moved():
            counters[name] += count
        counters["inbound_ended" if not reason else "inbound_cut"] += 1
        self._reason = reason or self._reason
        self._over()

    def moved(self) -> Iterator[tuple[str, int]]:
        """The counters that its bytes belong to, and how many there were so far."""
        if self._relay is not None:
            yield "inbound_bytes_received", self._relay.to_app
            yield "inbound_bytes_sent", self._relay.from_app

    def _over(self) -> None:
        self._state = after(INBOUND, self._state, Event.CLOSE)
        if self._timer is not None:
            self._timer.cancel()
        if self._source is not None:
            self._source.connections.discard(self)
        if self._world.tell_closed and self._reason != TCP_CHECK:
            self._world.tell(self._closed())
        self._relay = None
        self._world.open.discard(self)
        self._world.counters["inbound_open"] -= 1
        self._world.changed()

    def _closed(self) -> Closed:
        """For the access log."""
        try:
            host, port = self._sock.getpeername()[:2]
        except OSError:  # reset: the kernel has forgotten
            host, port = "", 0
        return Closed(
            direction="inbound",
            source=self._peer.uri if self._peer else "",
            destination=self._world.identity,
            upstream="",
            peer=str(SocketAddress(host=host, port=port)) if host else "",
            received=self._relay.to_app if self._relay else 0,
            sent=self._relay.from_app if self._relay else 0,
            seconds=round(self._world.reactor.now - self._began, 3),
            reason=self._reason,
        )
