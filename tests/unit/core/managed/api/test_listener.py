"""Where the agent's API listens, and what is said of it."""

from __future__ import annotations

import logging

import pytest

from connect_proxy.errors import PortInUseError
from connect_proxy.managed.api.listener import listening, reached_at


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_an_api_on_loopback_is_nothing_to_warn_of(host: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), listening(host, 0):
        assert caplog.messages == []


def test_an_api_that_other_hosts_can_reach_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), listening("0.0.0.0", 0):
        (said,) = caplog.messages
    assert "'0.0.0.0:0', not on loopback" in said
    assert "set -api-addr" in said


def test_a_port_that_is_taken_is_named() -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"'127.0.0.1:{port}'.*set -api-addr"):
            listening("127.0.0.1", port)


def test_proxies_reach_an_api_on_all_addresses_by_loopback() -> None:
    assert reached_at("0.0.0.0", 8510).host == "127.0.0.1"
    assert reached_at("::", 8510).host == "::1"
