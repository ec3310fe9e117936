"""Which of several listeners on one address gets the new connections, on the real kernel."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from connect_proxy.managed.steering import (
    Lead,
    keep_with_the_first,
    listeners_of,
    listeners_on,
    newcomers_on,
)
from support.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the groups of SO_REUSEPORT are Linux's")

CALLS = 40


@pytest.fixture(params=["127.0.0.1", "::1", ""])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


def listener(stack: contextlib.ExitStack, host: str, port: int) -> socket.socket:
    """As builtin and Envoy bind; no host: IPv4 and IPv6 in one."""
    sock = stack.enter_context(socket.socket(socket.AF_INET if "." in host else socket.AF_INET6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(host)))
    sock.bind((host or "::", port))
    sock.listen(256)
    sock.setblocking(False)
    return sock


def address_of(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def called(stack: contextlib.ExitStack, host: str, port: int) -> None:
    for _ in range(CALLS):
        stack.enter_context(socket.create_connection((host or "127.0.0.1", port), 30))


def accepted(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.accept()[0].close()
            count += 1
    return count


@pytest.mark.parametrize(("leaving", "coming"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
def test_the_old_ones_get_all_until_they_leave_and_the_new_ones_all_from_then_on(
    stack: contextlib.ExitStack, host: str, leaving: int, coming: int
) -> None:
    port = free_port()
    address = address_of(host, port)
    old = [listener(stack, host, port) for _ in range(leaving)]
    assert listeners_on(address) == leaving
    before = {address: leaving}
    keep_with_the_first(before)
    new = [listener(stack, host, port) for _ in range(coming)]
    assert newcomers_on(address, leaving)
    called(stack, host, port)
    assert sum(map(accepted, old)) == CALLS
    lead = Lead(before)
    called(stack, host, port)
    assert (sum(map(accepted, old)), sum(map(accepted, new))) == (0, CALLS)
    while old:
        old.pop(0).close()  # as Envoy closes them, one by one
        called(stack, host, port)
        assert (sum(map(accepted, old)), sum(map(accepted, new))) == (0, CALLS)
    lead.end()
    assert listeners_on(address) == coming
    called(stack, host, port)
    shares = [accepted(sock) for sock in new]
    assert sum(shares) == CALLS
    assert all(shares), "the kernel spreads them again"


def test_one_for_ipv4_alone_comes_beside_one_for_both(stack: contextlib.ExitStack) -> None:
    port = free_port()
    listener(stack, "", port)
    assert not newcomers_on(f":{port}", 1)
    listener(stack, "0.0.0.0", port)
    assert newcomers_on(f":{port}", 1)


def test_what_cannot_be_steered_is_left_to_the_kernel() -> None:
    port = free_port()
    for address in (f"[::]:{port}", "no address", "unix:///run/db"):
        keep_with_the_first({address: 1})
        Lead({address: 1}).end()
        assert listeners_on(address) == 0


def test_nobody_is_shut_out_where_the_new_one_has_gone(stack: contextlib.ExitStack) -> None:
    port = free_port()
    old, new = listener(stack, "127.0.0.1", port), listener(stack, "127.0.0.1", port)
    lead = Lead({f"127.0.0.1:{port}": 1})
    new.close()
    lead.end()
    called(stack, "127.0.0.1", port)
    assert accepted(old) == CALLS


def test_of_the_kernels_table_only_the_listeners_are_read() -> None:
    def table() -> Iterator[str]:
        yield "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
        yield "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
        yield "   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
        yield "   2: 0100007F:1F90 0100007F:C001 06 00000000:00000000 03:000006D6 00000000     0"
        raise AssertionError("tens of thousands of connections follow")

    assert [fields[1] for fields in listeners_of(table())] == ["0100007F:1F90", "0100007F:1F91"]
