from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from connect_proxy_builtin.poller import IN, OUT, Poller, SelectorPoller, new_poller


@pytest.mark.parametrize("make", [new_poller, SelectorPoller])
def test_both_kinds_tell_what_is_ready(make: Callable[[], Poller]) -> None:
    poller = make()
    left, right = socket.socketpair()
    try:
        poller.register(left.fileno(), IN)
        assert poller.poll(0) == []
        right.send(b"x")
        assert poller.poll(1) == [(left.fileno(), IN)]
        poller.modify(left.fileno(), OUT)
        assert poller.poll(1) == [(left.fileno(), OUT)]
        poller.modify(left.fileno(), IN | OUT)
        assert poller.poll(1) == [(left.fileno(), IN | OUT)]
        poller.modify(left.fileno(), 0)
        assert poller.poll(0) == []
        poller.modify(left.fileno(), IN)
        assert poller.poll(-1) == [(left.fileno(), IN)]
        poller.unregister(left.fileno())
        assert poller.poll(0) == []
    finally:
        left.close()
        right.close()
        poller.close()
