"""The application's connection to an upstream: choose an instance, dial, handshake, check who it is."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Final

from connect_proxy.errors import PeerRefusedError
from connect_proxy_builtin.balancer import Instance
from connect_proxy_builtin.connection_states import OUTBOUND, Event, State, after
from connect_proxy_builtin.dialling import dial
from connect_proxy_builtin.messages import Closed, Say
from connect_proxy_builtin.policy import SocketAddress
from connect_proxy_builtin.poller import IN, OUT
from connect_proxy_builtin.relay import Relay
from connect_proxy_builtin.socket_errors import cause, pending_error
from connect_proxy_builtin.timers import Timer
from connect_proxy_builtin.tls.channel import TlsChannel, receive
from connect_proxy_builtin.tls.engine import Generation
from connect_proxy_builtin.worker_state import UpstreamState, WorkerState

MAX_TRIES: Final = 3


class Outbound:
    """One accepted connection of an upstream's listener."""

    __slots__ = (
        "_app",
        "_began",
        "_channel",
        "_instance",
        "_peer_sock",
        "_reason",
        "_relay",
        "_resuming",
        "_state",
        "_timer",
        "_tls",
        "_tried",
        "_upstream",
        "_world",
    )

    def __init__(
        self, world: WorkerState, app: socket.socket, *, tls: Generation, upstream: UpstreamState
    ) -> None:
        self._world, self._app, self._tls, self._upstream = world, app, tls, upstream
        self._state = State.CHOOSING
        self._began = world.reactor.now
        self._reason = "ended"
        self._tried: list[Instance] = []
        self._instance: Instance | None = None
        self._peer_sock: socket.socket | None = None
        self._channel: TlsChannel | None = None
        self._relay: Relay | None = None
        self._resuming = False
        self._timer: Timer | None = None
        world.open.add(self)
        upstream.open += 1
        world.counters["outbound_open"] += 1
        world.counters["outbound_accepted"] += 1
        # Nothing is read yet: what the application says waits in the kernel. Resets are still seen.
        world.reactor.watch(app.fileno(), 0, self._on_app)

    def __repr__(self) -> str:
        return f"<Outbound {self._state.value}: {self._upstream.policy.id}>"

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    def choose(self) -> None:
        """Dial the next instance; wait for Consul's first word on them; give up when there is none left."""
        upstream, now = self._upstream, self._world.reactor.now
        if self._timer is not None:
            self._timer.cancel()
        left = len(self._tried) < MAX_TRIES
        instance = upstream.balancer.choose(now=now, tried=self._tried) if left else None
        if instance is None:
            if self._tried or upstream.policy.known:
                self._give_up()
            else:
                upstream.waiting[self] = None
                self._timer = self._world.reactor.call_later(upstream.policy.connect_timeout_s, self._late)
            return
        self._tried.append(instance)
        self._instance = instance
        instance.open += 1
        self._state = after(OUTBOUND, self._state, Event.CHOSEN)
        self._dial(instance)

    def _why(self) -> str:
        if self._tried:
            return "tried " + ", ".join(str(instance.target) for instance in self._tried)
        known = self._upstream.policy.known
        return "no healthy instance" if known else "Consul has not said yet what is behind it"

    def _dial(self, instance: Instance) -> None:
        policy, reactor = self._upstream.policy, self._world.reactor
        self._timer = reactor.call_later(policy.connect_timeout_s, self._late)
        target = instance.target
        try:
            self._peer_sock, connected = dial(
                SocketAddress(host=target.address, port=target.port),
                keepalive_s=policy.limits.keepalive_s,
                user_timeout_s=policy.limits.user_timeout_s,
            )
        except OSError as exc:
            self._failed("connect_failed", cause(exc))
            return
        reactor.watch(self._peer_sock.fileno(), IN if connected else OUT, self._on_dialled)
        if connected:
            self._on_dialled(OUT)

    def _on_dialled(self, _mask: int) -> None:
        assert self._peer_sock is not None
        assert self._instance is not None
        error = pending_error(self._peer_sock)
        if error:
            self._failed("connect_failed", error)
            return
        self._state = after(OUTBOUND, self._state, Event.CONNECTED)
        session = self._tls.sessions.session_for(self._instance.target)
        self._resuming = session is not None
        self._channel = self._tls.dialled(self._peer_sock, resume=session)
        self._world.reactor.rewatch(self._peer_sock.fileno(), IN, self._on_handshake)
        self._shake(self._channel)

    def _on_handshake(self, _mask: int) -> None:
        assert self._channel is not None
        wire = self._world.reactor.wire
        try:
            count = receive(self._channel.sock, wire)
        except OSError as exc:
            self._failed("handshake_failed", cause(exc))
            return
        if count == 0:
            self._failed("handshake_failed", "the peer left during the handshake")
            return
        if count > 0:
            self._channel.incoming.write(wire[:count])
        if count > 0 or self._channel.unsent:
            self._shake(self._channel)

    def _shake(self, channel: TlsChannel) -> None:
        try:
            done = channel.handshake(rest_waits=True)
        except OSError as exc:
            self._failed("handshake_failed", cause(exc))
            return
        wanted = IN | OUT if channel.unsent else IN
        self._world.reactor.want(channel.sock.fileno(), wanted)
        if done:
            self._identify(channel)

    def _identify(self, channel: TlsChannel) -> None:
        """The peer must be the service that was asked for, whatever address it has."""
        assert self._instance is not None
        counters = self._world.counters
        counters["outbound_handshakes"] += 1
        counters[f"outbound_tls_versions.{channel.session.version()}"] += 1
        if self._resuming and channel.session.session_reused:
            counters["outbound_handshakes_resumed"] += 1
        expected = self._instance.target.expected_uri
        try:
            peer = self._tls.identities.check(channel.session.getpeercert(binary_form=True))
        except PeerRefusedError as exc:
            self._refuse(channel, str(exc))
            return
        if peer.normal_uri != expected:
            self._refuse(channel, f"it proved to be {peer.uri!r}, expected {expected!r}")
            return
        if self._timer is not None:
            self._timer.cancel()
        self._upstream.balancer.succeeded(self._instance)
        self._tls.sessions.proved(self._instance.target, channel.session, offered=self._resuming)
        self._state = after(OUTBOUND, self._state, Event.IDENTIFIED)
        self._relay = Relay(
            self._world.reactor,
            self._app,
            channel,
            self._relayed,
            idle_timeout_s=self._upstream.policy.limits.idle_timeout_s,
        )
        self._relay.start(speaking=True)

    def _refuse(self, channel: TlsChannel, why: str) -> None:
        """It is not who was asked for. The handshake is ended all the same: it did not fail."""
        with contextlib.suppress(OSError):
            channel.flush()
        self._failed("wrong_identity", why)

    # ------------------------------------------------------------ ends

    def _on_app(self, _mask: int) -> None:
        """Only errors and hang-ups are watched for: the application gave up waiting."""
        self._reason = "application_left"
        self._world.counters["outbound_refused.application_left"] += 1
        self._release()
        self._over()

    def _late(self) -> None:
        self._timer = None
        if self._instance is None:
            self._give_up()
        else:
            self._failed("timeout", "timed out within connect_timeout_ms")

    def _failed(self, kind: str, why: str) -> None:
        """This instance did not do: avoid it, try another."""
        assert self._instance is not None
        upstream, instance = self._upstream, self._instance
        text = f"upstream {upstream.policy.id!r}: {instance.target} failed: {why}"
        self._world.tell(Say(level=logging.WARNING, text=text, kind=f"{kind} {upstream.policy.id}"))
        self._world.counters[f"outbound_attempts_failed.{kind}"] += 1
        upstream.balancer.failed(instance, now=self._world.reactor.now)
        self._tls.sessions.failed(instance.target)
        self._release()
        self._state = after(OUTBOUND, self._state, Event.FAILED)
        self.choose()

    def _release(self) -> None:
        """Let go of the instance that was tried."""
        if self._timer is not None:
            self._timer.cancel()
        if self._instance is not None:
            self._instance.open -= 1
            self._instance = None
        if self._peer_sock is not None and self._relay is None:
            self._world.reactor.dispose(self._peer_sock)
        self._peer_sock = self._channel = None

    def _give_up(self) -> None:
        kind, name = "all_failed" if self._tried else "no_healthy_instance", self._upstream.policy.id
        text = f"upstream {name!r}: closed the application's connection: {self._why()}"
        self._world.tell(Say(level=logging.ERROR, text=text, kind=f"{kind} {name}"))
        self._world.counters[f"outbound_refused.{kind}"] += 1
        self._reason = kind
        self._over()

    def abort(self, reason: str) -> None:
        """Close at once."""
        if self._state is State.CLOSED:
            return
        if self._relay is not None:
            self._relay.abort(reason)
            return
        self._world.counters[f"outbound_refused.{reason}"] += 1
        self._reason = reason
        self._release()
        self._over()

    def _relayed(self, reason: str) -> None:
        assert self._relay is not None
        counters = self._world.counters
        for name, count in self.moved():
            counters[name] += count
        counters["outbound_ended" if not reason else "outbound_cut"] += 1
        self._reason = reason or self._reason
        self._release()
        self._over()

    def moved(self) -> Iterator[tuple[str, int]]:
        """The counters that its bytes belong to, and how many there were so far."""
        if self._relay is not None:
            yield "outbound_bytes_sent", self._relay.from_app
            yield "outbound_bytes_received", self._relay.to_app

    def _over(self) -> None:
        self._state = after(OUTBOUND, self._state, Event.CLOSE)
        if self._relay is None:
            self._world.reactor.dispose(self._app)
        if self._world.tell_closed:
            self._world.tell(self._closed())
        self._relay = None
        self._upstream.open -= 1
        self._upstream.waiting.pop(self, None)
        self._world.open.discard(self)
        self._world.counters["outbound_open"] -= 1
        self._world.changed()

    def _closed(self) -> Closed:
        """For the access log."""
        target = self._tried[-1].target if self._tried else None
        return Closed(
            direction="outbound",
            source=self._world.identity,
            destination=target.expected_uri if target else "",
            upstream=self._upstream.policy.id,
            peer=str(target) if target else "",
            received=self._relay.to_app if self._relay else 0,
            sent=self._relay.from_app if self._relay else 0,
            seconds=round(self._world.reactor.now - self._began, 3),
            reason=self._reason,
        )
