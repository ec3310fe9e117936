"""Keys of ``config`` that were probably meant to be ours. Pure.

``config`` is free in Consul, and other proxies have keys of their own in it: only what looks like one of
ours is worth a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from connect_proxy.mesh.registration import Registration

LIMITS: Final = frozenset({"idle_timeout_ms", "tcp_keepalive_ms", "tcp_user_timeout_ms"})
PROXY_KEYS: Final = LIMITS | {
    "access_log",
    "bind_address",
    "bind_port",
    "disable_tcp_check",
    "handshake_timeout_ms",
    "local_connect_timeout_ms",
    "local_service_address",
    "max_inbound_connections",
    "proxy_protocol",
    "status_address",
    "tcp_check_address",
    "tls_max_version",
    "tls_min_version",
    "workers",
}
UPSTREAM_KEYS: Final = LIMITS | {"connect_timeout_ms", "max_connections"}
LIKENESS: Final = 0.9
"""Of :mod:`difflib`: a letter or two in a long word. ``local_idle_timeout_ms``, Envoy's, is less alike."""


def mistyped(registration: Registration) -> Iterator[str]:
    """One sentence for each key that looks like one of ours and is none."""
    yield from _mistyped(registration.config, PROXY_KEYS, f"proxy {registration.id!r}")
    for upstream in registration.upstreams:
        yield from _mistyped(upstream.config, UPSTREAM_KEYS, f"upstream {upstream.id!r}")


def _mistyped(config: Mapping[str, Any], known: Collection[str], where: str) -> Iterator[str]:
    for key in config:
        if key not in known and (near := _meant(key, known)):
            yield f"{where}: config has {key!r}, which means nothing here; did you mean {near!r}?"


def _meant(key: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # late: a proxy without strange keys goes without

    return next(iter(get_close_matches(key, sorted(known), n=1, cutoff=LIKENESS)), "")
