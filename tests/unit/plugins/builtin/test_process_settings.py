from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.mesh.registration import Registration
from connect_proxy_builtin.policy import SocketAddress
from connect_proxy_builtin.process_settings import status_address, worker_count


def registration(config: dict[str, Any] | None = None) -> Registration:
    return Registration(id="web-sidecar-proxy", name="w", config=MappingProxyType(config or {}))


def test_workers_are_one_to_sixty_four() -> None:
    assert worker_count(registration()) == 1
    assert worker_count(registration({"workers": "4"})) == 4
    with pytest.raises(ConfigurationError, match="at most 64"):
        worker_count(registration({"workers": 65}))


def test_the_status_is_served_nowhere_unless_asked_for() -> None:
    assert status_address(registration()) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", SocketAddress(host="127.0.0.1", port=9000)),
        ("unix:///run/web.sock", SocketAddress(path="/run/web.sock", mode=0o600)),
    ],
)
def test_the_status_address_is_a_port_or_a_private_socket(text: str, address: SocketAddress) -> None:
    assert status_address(registration({"status_address": text})) == address
