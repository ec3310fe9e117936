"""Which of Envoy's listeners are inbound, told by the names of their statistics. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from connect_proxy.mesh.registration import Upstream

ACTIVE_CONNECTIONS: Final = r"^listener\..*downstream_cx_active$"
"""Envoy's expression for all listeners, their workers included."""

_STATISTIC: Final = re.compile(r"^listener\.(?P<address>.+)\.downstream_cx_active$")
_PART: Final = re.compile(r"\.(worker_\d+|main_thread)$")


def inbound_connections(active: Mapping[str, int], upstreams: Iterable[Upstream]) -> int:
    """Open connections that came from the mesh: of all listeners but the admin's and the upstreams'.

    *active*: values by statistic, such as ``listener.0.0.0.0_21000.downstream_cx_active``. The
    upstreams are where the application itself connects: it may need them to finish.
    """
    outbound = {_address(upstream) for upstream in upstreams}
    total = 0
    for name, value in active.items():
        match = _STATISTIC.match(name)
        if match is None or _PART.search(match["address"]):
            continue
        if match["address"] != "admin" and match["address"] not in outbound:
            total += value
    return total


def _address(upstream: Upstream) -> str:
    """As Envoy puts an address into a statistic's name: ``127.0.0.1_9191``, ``[__1]_9191``, a path."""
    if upstream.local_bind_socket_path:
        return upstream.local_bind_socket_path
    host = upstream.bind_host.replace(":", "_")
    host = f"[{host}]" if ":" in upstream.bind_host else host
    return f"{host}_{upstream.local_bind_port}"
