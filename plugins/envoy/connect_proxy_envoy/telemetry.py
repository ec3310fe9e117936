"""Consul's telemetry collector: Envoy's statistics on a unix socket that a collector on this host reads."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any, Final

from connect_proxy.mesh.registration import Registration
from connect_proxy_envoy.address import PipeAddress
from connect_proxy_envoy.knobs import Knobs

CLUSTER: Final = "consul_telemetry_collector_loopback"
KEYS: Final = ("envoy_telemetry_collector_bind_socket_dir", "envoy_hcp_metrics_bind_socket_dir")
"""Consul 1.15.3 and newer; before."""
DEFAULT_FLUSH_INTERVAL: Final = "60s"


def collector_socket(knobs: Knobs, registration: Registration) -> PipeAddress | None:
    """The socket in the directory that the registration names; None if it names none."""
    folder = next((found for key in KEYS if (found := knobs.text(key))), "")
    if not folder:
        return None
    name = f"{registration.namespace or 'default'}_{registration.id}"
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return PipeAddress(path=f"{folder}/{urlsafe_b64encode(digest).decode().rstrip('=')}.sock")


def collector_sink() -> dict[str, Any]:
    """One of ``stats_sinks``."""
    config = {
        "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}},
        "emit_tags_as_labels": True,
    }
    return {"name": "envoy.stat_sinks.metrics_service", "typed_config": config}
