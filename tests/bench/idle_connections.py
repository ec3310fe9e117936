"""Connections that are there and rest: what each of them costs in memory."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterable, Iterator

from bench.resident import resident_kib
from support.processes import ProgramFailedError

TIMEOUT_S = 10.0
SETTLE_S = 1.0
"""So long proxies get to give back what they needed for the beginning of a connection."""
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def kib_each(port: int, pids: Iterable[int], *, count: int) -> float:
    """KiB that *pids* grow by for each of *count* connections through *port* that carried one request."""
    programs = tuple(pids)
    before = resident_kib(programs)
    with idle(port, count):
        time.sleep(SETTLE_S)
        return (resident_kib(programs) - before) / count


@contextlib.contextmanager
def idle(port: int, count: int) -> Iterator[None]:
    """*count* connections that stand from end to end: each got an answer from the application."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
            stack.enter_context(connection)
            connection.sendall(REQUEST)
            if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                message = f"a connection through port {port} got no answer"
                raise ProgramFailedError(message)
        yield


def raise_descriptor_limit() -> None:
    """To the hard limit, for this program and for all that it starts from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
