"""Mistyped keys of ``config``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connect_proxy.mesh.registration import Upstream
from connect_proxy.testing import examples
from connect_proxy_builtin.config_keys import PROXY_KEYS, UPSTREAM_KEYS, mistyped

README = Path(__file__).parents[4] / "plugins" / "builtin" / "README.md"
FOREIGN = (
    "protocol",
    "local_idle_timeout_ms",
    "local_request_timeout_ms",
    "balance_inbound_connections",
    "max_request_headers_kb",
    "envoy_prometheus_bind_addr",
    "envoy_local_cluster_json",
    "upstreams",
    "telemetry",
    "x",
)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("handshake_timout_ms", "handshake_timeout_ms"),
        ("handshake_timeout", "handshake_timeout_ms"),
        ("max_inbound_conections", "max_inbound_connections"),
        ("worker", "workers"),
    ],
)
def test_a_key_that_looks_like_one_of_ours_is_warned_of(key: str, meant: str) -> None:
    (said,) = mistyped(examples.registration(config={key: 1}, upstreams=()))
    assert said.endswith(f"config has {key!r}, which means nothing here; did you mean {meant!r}?")


def test_so_is_one_of_an_upstream() -> None:
    upstream = Upstream(destination_name="db", config={"connect_timout_ms": 5, "max_connections": 1})
    (said,) = mistyped(examples.registration(config={}, upstreams=(upstream,)))
    assert said.startswith("upstream 'db': config has 'connect_timout_ms'")


def test_our_own_keys_and_those_of_other_proxies_are_not() -> None:
    config = dict.fromkeys([*PROXY_KEYS, *FOREIGN], 1)
    upstream = Upstream(
        destination_name="db", config=dict.fromkeys([*UPSTREAM_KEYS, "limits", "passive_health_check"], 1)
    )
    assert list(mistyped(examples.registration(config=config, upstreams=(upstream,)))) == []


def test_every_key_that_the_readme_has_is_known() -> None:
    settings = README.read_text().partition("## Settings")[2]
    rows = [line.split("|")[1] for line in settings.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([a-z_]+)`", " ".join(rows)))
    assert len(named) > 10
    assert named <= PROXY_KEYS
