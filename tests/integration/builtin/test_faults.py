"""Peers, applications and agents that misbehave: nothing leaks, nothing spins, everything recovers.

The sidecars are real programs, the faults are real sockets; what a sidecar holds is read from ``/proc``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from soak.footprint import MIB, footprint
from soak.mesh import CHECK
from support import faulty_path
from support.applications import TcpServer, ask, echo_server
from support.builtin_pair import pair
from support.embedded_agent import EmbeddedAgent
from support.faulty_path import FaultyPath
from support.processes import wait_until
from support.real_consul import RealConsul

pytestmark = pytest.mark.integration

DEAD_CALLS, DEAD_CALLERS, WARM_UP_CALLS = 10_000, 4, 300
DEAD_CALLS_DEADLINE_S = 30.0
RESET = struct.pack("ii", 1, 0)


def caller_context(agent: EmbeddedAgent, folder: Path) -> ssl.SSLContext:
    """A caller that is ``api``."""
    leaf = agent.api.get("/v1/agent/connect/ca/leaf/api").json
    (folder / "leaf.pem").write_text(leaf["CertPEM"] + leaf["PrivateKeyPEM"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what the sidecar does is tested, not what this caller believes
    context.load_cert_chain(folder / "leaf.pem")
    return context


def break_off(sock: socket.socket) -> None:
    """With a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first flight of a caller."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def at_connect(_raw: socket.socket, _context: ssl.SSLContext) -> None:
    """Nothing is said."""


def in_the_hello(raw: socket.socket, context: ssl.SSLContext) -> None:
    raw.sendall(client_hello(context)[:40])


def after_the_hello(raw: socket.socket, context: ssl.SSLContext) -> None:
    raw.sendall(client_hello(context))


def after_the_answer(raw: socket.socket, context: ssl.SSLContext) -> None:
    raw.sendall(client_hello(context))
    assert raw.recv(100)


def after_the_handshake(raw: socket.socket, context: ssl.SSLContext) -> None:
    # detach: the reset has to be ours, on the bare socket.
    with context.wrap_socket(raw.dup()) as tls:
        tls.sendall(b"x")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def in_a_stream(raw: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(raw.dup()) as tls:
        tls.sendall(b"x" * 100_000)
        assert tls.recv(10)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


STAGES: list[Callable[[socket.socket, ssl.SSLContext], None]] = [
    at_connect,
    in_the_hello,
    after_the_hello,
    after_the_answer,
    after_the_handshake,
    in_a_stream,
]


def test_callers_that_reset_at_any_stage_leave_nothing(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        context = caller_context(embedded_agent, tmp_path)
        for number in range(20 * len(STAGES)):
            raw = socket.create_connection(("127.0.0.1", mesh.public), timeout=60)
            STAGES[number % len(STAGES)](raw, context)
            break_off(raw)
        mesh.has_recovered()


def resets_at_once(raw: socket.socket) -> None:
    break_off(raw)


def resets_after_the_hello(raw: socket.socket) -> None:
    raw.recv(4096)
    break_off(raw)


def answers_garbage(raw: socket.socket) -> None:
    raw.recv(4096)
    raw.sendall(os.urandom(2000))
    raw.recv(4096)


def answers_nothing(raw: socket.socket) -> None:
    while raw.recv(4096):
        pass


@pytest.mark.parametrize(
    "serve", [resets_at_once, resets_after_the_hello, answers_garbage, answers_nothing]
)
def test_instances_that_break_off_or_are_silent_cost_no_call(
    embedded_agent: EmbeddedAgent, tmp_path: Path, serve: Callable[[socket.socket], None]
) -> None:
    with (
        echo_server() as web,
        pair(tmp_path, web.port, agent=embedded_agent, connect_timeout_ms=2000) as mesh,
        TcpServer(serve=serve) as broken,
    ):
        connect = {"SidecarService": {"Check": CHECK, "Address": "127.0.0.1", "Port": broken.port}}
        embedded_agent.api.register({"Name": "web", "ID": "web-2", "Port": 1, "Connect": connect})
        wait_until(
            lambda: ask(mesh.port, b"hello") == b"hello" and broken.accepted, "the broken one is tried"
        )
        assert [ask(mesh.port, b"hello") for _ in range(20)] == [b"hello"] * 20
        embedded_agent.api.deregister("web-2")
        mesh.has_recovered()


def test_a_blackhole_is_given_up_and_leaves_nothing(embedded_agent: EmbeddedAgent, tmp_path: Path) -> None:
    """A listener whose queue is full: the kernel drops what comes, nobody answers."""
    with (
        echo_server() as web,
        pair(tmp_path, web.port, agent=embedded_agent, connect_timeout_ms=2000) as mesh,
        socket.socket() as hole,
        contextlib.ExitStack() as stack,
    ):
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        sidecar = {"Check": CHECK, "Address": "127.0.0.1", "Port": hole.getsockname()[1]}
        connect = {"SidecarService": sidecar}
        embedded_agent.api.register({"Name": "web", "ID": "web-2", "Port": 1, "Connect": connect})
        wait_until(
            lambda: (
                ask(mesh.port, b"hello") == b"hello"
                and mesh.api.count("outbound_attempts_failed.timeout") > 0
            ),
            "the blackhole is tried",
        )
        assert [ask(mesh.port, b"hello") for _ in range(10)] == [b"hello"] * 10
        embedded_agent.api.deregister("web-2")
        mesh.has_recovered()


def test_slow_handshakes_hinder_nobody_and_end(embedded_agent: EmbeddedAgent, tmp_path: Path) -> None:
    with (
        echo_server() as web,
        pair(tmp_path, web.port, agent=embedded_agent, handshake_timeout_ms=5000) as mesh,
        contextlib.ExitStack() as stack,
    ):
        hello = client_hello(caller_context(embedded_agent, tmp_path))
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", mesh.public), timeout=60))
            for _ in range(100)
        ]
        with contextlib.suppress(ConnectionError):  # the deadline is for the whole, not for each byte
            for byte in hello[:60]:
                for each in slow:
                    each.sendall(bytes([byte]))
                assert ask(mesh.port, b"hello") == b"hello"
        mesh.web.program.wait_for(
            lambda: mesh.web.count("inbound_refused.handshake_timeout") >= 100, "the end of all of them"
        )
        mesh.has_recovered()


def garbage(chance: random.Random) -> bytes:
    """What a stranger may send instead of a ClientHello."""
    noise = chance.randbytes(chance.randrange(1, 20_000))
    return chance.choice(
        [
            noise,
            b"\x16\x03\x01" + struct.pack(">H", min(len(noise), 16_000)) + noise,
            b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc\x03\x03" + noise,
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x80\x2e\x01\x00\x02" + noise,
            b"\x15\x03\x03\x00\x02\x02\x28",
            bytes(16_384),
        ]
    )


def test_garbage_instead_of_a_handshake_leaves_nothing(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    chance = random.Random(7)
    with echo_server() as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        for _ in range(300):
            with (
                socket.create_connection(("127.0.0.1", mesh.public), timeout=60) as stranger,
                contextlib.suppress(ConnectionError),
            ):
                stranger.sendall(garbage(chance))
        reached = web.arrived()
        mesh.has_recovered()
        assert web.arrived() > reached, "only the call at the end reached the application"
        assert reached <= 1


def test_a_reader_that_does_not_read_costs_no_memory_and_loses_nothing(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    sent = random.Random(3).randbytes(64 * MIB * MIB // 2)

    def serve(connection: socket.socket) -> None:
        while connection.recv(10):
            connection.sendall(sent)

    with TcpServer(serve=serve) as web, pair(tmp_path, web.port, agent=embedded_agent) as mesh:
        before = [footprint(side.program.pid).resident_kib for side in (mesh.web, mesh.api)]
        with socket.create_connection(("127.0.0.1", mesh.port), timeout=60) as reader:
            reader.sendall(b"x")
            wait_until(lambda: mesh.web.count("inbound_bytes_sent") > 0, "bytes on their way")
            moved = -1

            def stands_still() -> bool:
                nonlocal moved
                last, moved = moved, mesh.web.count("inbound_bytes_sent")
                time.sleep(0.3)
                return moved == last

            wait_until(stands_still, "the stream stands still")
            assert moved < len(sent)
            mesh.is_calm()
            for side, resident in zip((mesh.web, mesh.api), before, strict=True):
                assert footprint(side.program.pid).resident_kib - resident < 16 * MIB
            digest, count = hashlib.sha256(), 0
            while count < len(sent):
                data = reader.recv(1 << 16)
                assert data
                digest.update(data)
                count += len(data)
            assert digest.digest() == hashlib.sha256(sent).digest()


def echo_on(listener: socket.socket) -> None:
    """Until the listener is shut down; one caller after the other."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data)


def calls_in_vain(port: int) -> int:
    """How many were made: a caller's share of all, or what a busy machine got done in time."""
    end = time.monotonic() + DEAD_CALLS_DEADLINE_S
    for number in range(DEAD_CALLS // DEAD_CALLERS):
        if time.monotonic() > end:
            return number
        with socket.socket() as caller, contextlib.suppress(ConnectionError):
            caller.settimeout(60)
            caller.connect(("127.0.0.1", port))
            assert caller.recv(1) == b""
    return DEAD_CALLS // DEAD_CALLERS


def test_ten_thousand_calls_to_a_dead_application_leave_nothing(
    embedded_agent: EmbeddedAgent, tmp_path: Path
) -> None:
    """``make soak`` has a hundred thousand of them."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it
        with pair(tmp_path, reserved.getsockname()[1], agent=embedded_agent) as mesh:
            for _ in range(WARM_UP_CALLS):
                assert ask(mesh.port, b"hello") == b""
            resident = [footprint(side.program.pid).resident_kib for side in mesh.sides]

            with ThreadPoolExecutor(DEAD_CALLERS) as pool:
                tried = sum(pool.map(calls_in_vain, [mesh.port] * DEAD_CALLERS))
            assert tried > 100
            mesh.web.program.wait_for(
                lambda: mesh.web.count("inbound_refused.application_unreachable") >= tried, "the refusals"
            )
            mesh.is_at_rest()
            for side, before in zip(mesh.sides, resident, strict=True):
                assert footprint(side.program.pid).resident_kib - before < 3 * MIB, side.name
            reserved.listen()
            application = threading.Thread(target=echo_on, args=(reserved,))
            application.start()
            try:
                mesh.has_recovered()
            finally:
                reserved.shutdown(socket.SHUT_RDWR)
                application.join()


@pytest.mark.parametrize(
    "fault",
    [
        faulty_path.SERVER_ERROR,
        faulty_path.GARBAGE,
        faulty_path.HALF_AN_ANSWER,
        faulty_path.WRONG_JSON,
        faulty_path.CUT,
    ],
    ids=["500", "garbage", "half an answer", "wrong JSON", "cut"],
)
def test_an_agent_that_answers_nonsense_changes_nothing_and_is_not_flooded(
    embedded_agent: EmbeddedAgent, tmp_path: Path, fault: bytes
) -> None:
    with (
        echo_server() as web,
        FaultyPath(embedded_agent.address) as path,
        pair(tmp_path, web.port, agent=embedded_agent, address=path.address) as mesh,
    ):
        assert ask(mesh.port, b"hello") == b"hello"
        path.answer(fault)
        asked = path.connections
        mesh.is_calm()
        assert [ask(mesh.port, b"hello") for _ in range(10)] == [b"hello"] * 10
        mesh.is_calm()
        assert path.connections - asked < 200, "the agent is asked over and over"
        path.answer(faulty_path.PASS)
        embedded_agent.api.set_intention("api", "web", "deny")
        wait_until(lambda: ask(mesh.port, b"hello") == b"", "changes are noticed again", deadline_s=60)
        embedded_agent.api.set_intention("api", "web", "allow")
        mesh.has_recovered()


def test_a_consul_that_is_killed_and_comes_back_leaves_nothing(tmp_path: Path) -> None:
    with (
        RealConsul(folder=tmp_path / "consul", durable=True) as consul,
        echo_server() as web,
        pair(tmp_path, web.port, agent=consul) as mesh,
    ):
        wait_until(lambda: ask(mesh.port, b"hello") == b"hello", "a call that passes")
        consul.stop()
        mesh.is_calm()
        assert [ask(mesh.port, b"hello") for _ in range(10)] == [b"hello"] * 10
        assert mesh.api.status()["snapshot_stale_since"], "it is to be seen"
        consul.restart()
        # A restarted agent calls every check critical until it hears of it again.
        for service in ("web", "api"):
            consul.api.put(f"/v1/agent/check/pass/service:{service}-sidecar-proxy")
        consul.api.set_intention("api", "web", "deny")
        wait_until(lambda: ask(mesh.port, b"hello") == b"", "changes are noticed again", deadline_s=60)
        consul.api.set_intention("api", "web", "allow")
        mesh.has_recovered()
