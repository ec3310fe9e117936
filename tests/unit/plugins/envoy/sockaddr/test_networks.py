"""Special addresses, as the IANA registries list them."""

from __future__ import annotations

import ipaddress

import pytest

from connect_proxy_envoy.sockaddr.networks import is_forwardable


@pytest.mark.parametrize(
    ("address", "forwardable"),
    [
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("8.8.8.8", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("192.0.2.2", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("2001:db8::1", False),
    ],
)
def test_only_what_a_router_may_pass_on_is_forwardable(address: str, forwardable: bool) -> None:
    assert is_forwardable(ipaddress.ip_address(address)) is forwardable
