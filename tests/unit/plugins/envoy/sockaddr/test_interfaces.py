"""The addresses of the host that runs the tests."""

from __future__ import annotations

from connect_proxy_envoy.sockaddr.interfaces import host_addresses


def test_the_loopback_address_is_there_and_its_interface_is_up() -> None:
    [loopback] = [address for address in host_addresses() if address.text == "127.0.0.1"]
    assert loopback.ip.network.prefixlen == 8
    assert loopback.is_up
    assert not loopback.on_default_route
