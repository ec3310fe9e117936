import socket

import pytest

from connect_proxy.errors import PortInUseError
from connect_proxy.serving.listeners import listen_tcp, listen_udp


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_named(host: str) -> None:
    with listen_tcp(host, 0, what="HTTP") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"HTTP port {port} on '{host}'"):
            listen_tcp(host, port, what="HTTP")
    with listen_udp(host, 0, what="DNS") as bound:
        port = bound.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"DNS port {port} on '{host}'"):
            listen_udp(host, port, what="DNS")


def test_an_ipv6_listener_leaves_ipv4_alone() -> None:
    with listen_tcp("::", 0, what="HTTP") as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(PortInUseError, match=r"on '192\.0\.2\.1'"):
        listen_tcp("192.0.2.1", 0, what="HTTP")


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with (
        listen_tcp("127.0.0.1", 0, what="HTTP") as listener,
        socket.create_connection(listener.getsockname()),
    ):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
