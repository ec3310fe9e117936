from __future__ import annotations

import contextlib
import resource
import socket
import struct
from collections.abc import Iterator

from connect_proxy_builtin.acceptor import BATCH, Acceptor
from connect_proxy_builtin.messages import News, Say
from connect_proxy_builtin.reactor import Reactor
from connect_proxy_builtin.worker_state import WorkerState
from support.processes import wait_until


def defect(_callback: object, exc: Exception) -> None:
    raise exc


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """As if the process had all it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest_free = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def waiting(listener: socket.socket) -> int:
    """How many wait to be accepted: of a listener, ``tcpi_unacked`` says it (tcp(7), TCP_INFO)."""
    found: int = struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 24)[
        0
    ]
    return found


def test_when_descriptors_run_out_accepting_pauses_and_comes_back() -> None:
    served: list[socket.socket] = []
    news: list[News] = []
    reactor = Reactor(defect)
    world = WorkerState(reactor=reactor, tell=news.append)
    listener = socket.create_server(("127.0.0.1", 0))
    caller = socket.create_connection(listener.getsockname())
    acceptor = Acceptor(world, listener, served.append, shared=False)
    with no_more_descriptors():
        while not world.counters["accept_pauses"]:
            reactor.step()
        for pauses in (1, 2):
            assert world.counters["accept_pauses"] == pauses
            reactor.step()  # to the end of the pause: who waits is no event meanwhile, nothing spins
            assert world.counters["accept_pauses"] == pauses
            reactor.step()
        assert served == []
    while not served:
        reactor.step()
    assert any(isinstance(each, Say) and "ulimit -n" in each.text for each in news)
    acceptor.close()
    for sock in (*served, caller):
        sock.close()
    reactor.close()


def test_who_waits_already_is_still_served_when_a_listener_closes() -> None:
    served: list[socket.socket] = []
    reactor = Reactor(defect)
    world = WorkerState(reactor=reactor, tell=lambda _news: None)
    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = Acceptor(world, listener, served.append, shared=False)
    callers = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    wait_until(lambda: waiting(listener) == 3, "three callers in the queue")
    acceptor.close()
    assert len(served) == 3
    for sock in (*served, *callers):
        sock.close()
    reactor.close()
    assert listener.fileno() == -1


def test_all_who_wait_are_served_when_it_closes() -> None:
    served: list[socket.socket] = []
    reactor = Reactor(defect)
    world = WorkerState(reactor=reactor, tell=lambda _news: None)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4 * BATCH)
    callers = [socket.create_connection(listener.getsockname()) for _ in range(2 * BATCH + 1)]
    wait_until(lambda: waiting(listener) == len(callers), "the callers")
    Acceptor(world, listener, served.append, shared=False).close()
    assert len(served) == len(callers)
    for sock in (*served, *callers):
        sock.close()
    reactor.close()
