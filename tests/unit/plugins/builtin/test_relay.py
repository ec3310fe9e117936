"""The moving of bytes, between real sockets, with the test as application and as TLS peer."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connect_proxy_builtin.policy import tls_material
from connect_proxy_builtin.poller import IN, Poller, SelectorPoller, new_poller
from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.relay import Relay
from connect_proxy_builtin.tls.channel import TlsChannel, receive
from connect_proxy_builtin.tls.contexts import TlsGeneration, tls_generation
from connect_proxy_builtin.tls.standard_session import standard_channel
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa
from support.processes import wait_until

POLLERS = [new_poller, SelectorPoller]


@dataclass
class Peer:
    """The far TLS side, by hand: what it sends and receives is in the test's control."""

    sock: socket.socket
    session: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    got: bytes = b""
    unsent: bytes = b""
    ended: bool = False
    """close_notify has come."""

    def say(self, data: bytes) -> None:
        self.session.write(data)
        self.flush()

    def end(self) -> None:
        """close_notify."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            self.session.unwrap()
        self.flush()

    def flush(self) -> None:
        self.unsent += self.outgoing.read()
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.sock.send(self.unsent) :]

    def listen(self, limit: int = 1 << 20) -> None:
        """Take in what is there."""
        self.flush()
        with contextlib.suppress(BlockingIOError):
            self.incoming.write(self.sock.recv(limit))
        try:
            while not self.ended:
                clear = self.session.read(65536)
                self.got += clear
                self.ended = not clear
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self.ended = True


@dataclass
class Bench:
    """One relay on a reactor that the test turns by hand."""

    reactor: Reactor
    relay: Relay
    app: socket.socket
    peer: Peer
    reasons: list[str]
    heard: bytes = b""
    """What the application received in :meth:`until`."""

    def turn(self, times: int = 20) -> None:
        """Let it work, never waiting long."""
        for _ in range(times):
            self.reactor.call_later(0, lambda: None)
            self.reactor.step()

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until it holds. Loopback too may take its time."""
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, f"in vain; reasons: {self.reasons}"
            self.peer.listen()
            self.heard += read_all(self.app)
            self.turn(1)


def pair(kind: str) -> tuple[socket.socket, socket.socket]:
    if kind == "unix":
        left, right = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            left = socket.create_connection(server.getsockname())
            right, _ = server.accept()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def shake(tls: TlsGeneration, near: socket.socket, far: socket.socket) -> tuple[TlsChannel, Peer]:
    """A client's channel on *near* that is through with the handshake, and its peer on *far*."""
    channel = standard_channel(near, lambda incoming, outgoing: tls.call(incoming, outgoing, resume=None))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = Peer(far, tls.answer(incoming, outgoing, resuming=False), incoming, outgoing)
    buffer = memoryview(bytearray(65536))
    done = False
    while not done:
        if (count := receive(near, buffer)) > 0:
            channel.incoming.write(buffer[:count])
        done = channel.handshake()
        with contextlib.suppress(BlockingIOError):
            peer.incoming.write(far.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.session.do_handshake()
        peer.flush()
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        peer.incoming.write(far.recv(65536))
        peer.session.do_handshake()
    peer.flush()
    return channel, peer


def before_the_last_flight(
    tls: TlsGeneration, near: socket.socket, far: socket.socket
) -> tuple[TlsChannel, Peer]:
    """A client's channel that is through and has not said so yet, and its peer on *far*."""
    channel = tls.dialled(near, resume=None)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = Peer(far, tls.answer(incoming, outgoing, resuming=False), incoming, outgoing)
    far.settimeout(60)
    channel.handshake()
    while not outgoing.pending:
        incoming.write(far.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.session.do_handshake()
    channel.incoming.write(memoryview(outgoing.read()))
    assert channel.handshake(rest_waits=True)
    return channel, peer


@contextlib.contextmanager
def speaking(first: bytes | None) -> Iterator[Peer]:
    """A relay whose handshake has still to be finished, once it has begun.

    The application has said *first* before; None: that it says nothing any more.
    """
    near_app, app = pair("tcp")
    near, far = pair("tcp")
    channel, peer = before_the_last_flight(TLS, near, far)
    reactor = Reactor(defect)
    relay = Relay(reactor, near_app, channel, lambda _reason: None)
    reactor.watch(near_app.fileno(), 0, lambda _mask: None)
    reactor.watch(near.fileno(), IN, lambda _mask: None)
    if first is None:
        app.shutdown(socket.SHUT_WR)
    else:
        app.sendall(first)
    assert first == b"" or select.select([near_app], [], [], 60)[0], "it is there"
    relay.start(speaking=True)
    try:
        yield peer
    finally:
        relay.abort("the test is over")
        reactor.close()
        app.close()
        far.close()


def test_the_end_of_the_handshake_goes_with_the_first_bytes_that_are_there() -> None:
    with speaking(b"GET /") as peer:
        peer.incoming.write(peer.sock.recv(65536))  # one piece: it was sent at once
        peer.session.do_handshake()
        assert peer.session.read(100) == b"GET /"


def test_the_end_of_the_handshake_waits_for_nobody() -> None:
    with speaking(b"") as peer:
        peer.incoming.write(peer.sock.recv(65536))
        peer.session.do_handshake()
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.read(100)


def test_an_application_that_has_ended_already_ends_with_the_handshake() -> None:
    with speaking(None) as peer:
        peer.incoming.write(peer.sock.recv(65536))
        peer.session.do_handshake()
        assert peer.session.read(100) == b"", "it has ended in order"


def defect(_callback: object, exc: Exception) -> None:
    raise exc


CA = MeshCa()
TLS = tls_generation(1, tls_material(leaf_of(CA.leaf("web"), "web"), roots_of(CA)))


@contextlib.contextmanager
def bench(
    poller: Poller | None = None, *, app_kind: str = "tcp", idle_timeout_s: float = 0.0
) -> Iterator[Bench]:
    near_app, app = pair(app_kind)
    near, far = pair("tcp")
    reactor = Reactor(defect, poller)
    channel, peer = shake(TLS, near, far)
    reasons: list[str] = []
    relay = Relay(reactor, near_app, channel, reasons.append, idle_timeout_s=idle_timeout_s)
    reactor.watch(near_app.fileno(), 0, lambda _mask: None)
    reactor.watch(near.fileno(), 0, lambda _mask: None)
    relay.start()
    try:
        yield Bench(reactor, relay, app, peer, reasons)
    finally:
        relay.abort("the test is over")
        reactor.close()
        app.close()
        far.close()


def read_all(sock: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(BlockingIOError):
        while data := sock.recv(1 << 20):
            got += data
    return got


@pytest.mark.parametrize("make", POLLERS)
def test_bytes_pass_both_ways(make: type[SelectorPoller]) -> None:
    with bench(make()) as b:
        b.app.sendall(b"up")
        b.peer.say(b"down")
        b.until(lambda: (b.peer.got, b.heard) == (b"up", b"down"))
        assert (b.relay.from_app, b.relay.to_app) == (2, 4)


@pytest.mark.parametrize("app_kind", ["tcp", "unix"])
@pytest.mark.parametrize("make", POLLERS)
def test_an_application_that_does_not_read_stops_the_peer_and_nothing_is_lost(
    make: type[SelectorPoller], app_kind: str
) -> None:
    data = random.Random(1).randbytes(16 << 20)
    with bench(make(), app_kind=app_kind) as b:
        b.peer.say(data)
        b.turn(200)
        assert b.relay.to_app < len(data), "bounded: the rest waits at the peer"
        got = hashlib.sha256()
        received = 0
        while received < len(data):
            piece = read_all(b.app)
            received += len(piece)
            got.update(piece)
            b.peer.flush()
            b.turn(5)
        assert got.digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("app_kind", ["tcp", "unix"])
@pytest.mark.parametrize("make", POLLERS)
def test_a_peer_that_does_not_read_stops_the_application_and_nothing_is_lost(
    make: type[SelectorPoller], app_kind: str
) -> None:
    data = random.Random(2).randbytes(16 << 20)
    with bench(make(), app_kind=app_kind) as b:
        rest = memoryview(data)
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                rest = rest[b.app.send(rest) :]
            b.turn(2)
        assert b.relay.from_app < len(data)
        while rest:
            with contextlib.suppress(BlockingIOError):
                rest = rest[b.app.send(rest) :]
            b.peer.listen()
            b.turn(2)
        b.app.shutdown(socket.SHUT_WR)
        while not b.peer.ended:
            b.peer.listen()
            b.turn(2)
        assert hashlib.sha256(b.peer.got).digest() == hashlib.sha256(data).digest()


def test_a_unix_application_that_leaves_while_paused_is_read_to_its_end() -> None:
    data = random.Random(3).randbytes(8 << 20)
    with bench(app_kind="unix") as b:
        sent = 0
        for _ in range(300):
            with contextlib.suppress(BlockingIOError):
                sent += b.app.send(data[sent:])
            b.turn(2)
        b.app.close()
        b.turn(50)
        assert b.relay.from_app < sent, "paused: the peer does not read"
        for _ in range(5000):
            b.peer.listen()
            b.turn(2)
            if b.peer.ended:
                break
        assert b.peer.got == data[:sent]


def test_an_end_travels_as_an_end_and_the_other_way_stays_open() -> None:
    with bench() as b:
        b.app.sendall(b"question")
        b.app.shutdown(socket.SHUT_WR)
        b.until(lambda: (b.peer.got, b.peer.ended) == (b"question", True))
        b.peer.say(b"answer")
        b.until(lambda: b.heard == b"answer")
        assert b.reasons == []
        b.peer.end()
        b.until(lambda: b.reasons == [""])
        assert b.app.recv(1) == b""


def test_our_close_notify_while_half_a_record_has_arrived_breaks_nothing() -> None:
    with bench() as b:
        b.peer.session.write(b"x" * 5000)
        record = b.peer.outgoing.read()
        b.peer.sock.send(record[:700])
        b.turn()
        b.app.shutdown(socket.SHUT_WR)
        b.until(lambda: b.peer.ended)
        b.peer.sock.send(record[700:])
        b.until(lambda: b.heard == b"x" * 5000)


def test_data_that_crosses_our_close_notify_arrives() -> None:
    with bench() as b:
        b.app.shutdown(socket.SHUT_WR)
        b.peer.say(b"crossing")
        b.until(lambda: b.heard == b"crossing")


def test_a_tls_stream_that_breaks_off_resets_the_application() -> None:
    with bench() as b:
        b.peer.say(b"half")
        b.until(lambda: b.heard == b"half")
        b.peer.sock.shutdown(socket.SHUT_WR)
        while not b.reasons:
            b.turn(1)
        assert b.reasons == ["the peer cut the TLS stream off"]
        assert pending_error(b.app) == errno.ECONNRESET


def pending_error(sock: socket.socket) -> int:
    """The error that has come over the network for *sock*."""
    return wait_until(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "an error")


def test_a_reset_application_resets_the_peer() -> None:
    with bench() as b:
        b.app.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        b.app.close()
        while not b.reasons:
            b.turn(1)
        assert pending_error(b.peer.sock) == errno.ECONNRESET


def test_a_forged_record_ends_the_connection() -> None:
    with bench() as b:
        b.peer.sock.send(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        while not b.reasons:
            b.turn(1)
        assert b.reasons[0].startswith("TLS: ")


def test_an_idle_relay_is_ended() -> None:
    with bench(idle_timeout_s=0.02) as b:
        while not b.reasons:
            b.reactor.step()
        assert b.reasons == ["idle for too long"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("up"), st.binary(min_size=1, max_size=40_000)),
        st.tuples(st.just("down"), st.binary(min_size=1, max_size=40_000)),
        st.tuples(st.sampled_from(["turn", "listen", "up ends", "down ends"]), st.just(b"")),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions=ACTIONS)
def test_whatever_is_sent_before_an_end_arrives_whole_and_in_order(
    actions: list[tuple[str, bytes]],
) -> None:
    with bench() as b:
        up = down = b""
        up_ended = down_ended = False
        for action, data in [*actions, ("up ends", b""), ("down ends", b"")]:
            if action == "up" and not up_ended:
                up += data
                b.app.sendall(data)
            elif action == "down" and not down_ended:
                down += data
                b.peer.say(data)
            elif action == "turn":
                b.turn(1)
            elif action == "listen":
                b.peer.listen()
                b.heard += read_all(b.app)
            elif action == "up ends" and not up_ended:
                up_ended = True
                b.app.shutdown(socket.SHUT_WR)
            elif action == "down ends" and not down_ended:
                down_ended = True
                b.peer.listen()
                b.peer.end()
        b.until(lambda: b.reasons)
        b.until(lambda: (b.peer.got, b.heard) == (up, down))
        assert b.reasons == [""]
