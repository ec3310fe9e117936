"""The effective configuration as one mapping: what ``-bootstrap`` prints. No secret in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connect_proxy.mesh.endpoints import UpstreamEndpoints
from connect_proxy.mesh.registration import Registration
from connect_proxy_builtin import config_values
from connect_proxy_builtin.policy import (
    ConnectionLimits,
    access_log,
    inbound_policy,
    public_address,
    upstream_policy,
)
from connect_proxy_builtin.process_settings import status_address, worker_count
from connect_proxy_builtin.tls.versions import tls_versions


def effective_configuration(registration: Registration) -> Mapping[str, Any]:
    """Every value in force, defaults included. Raises ConfigurationError naming a wrong key."""
    public, inbound = public_address(registration), inbound_policy(registration)
    status = status_address(registration)
    versions = tls_versions(registration.config, where=f"proxy {registration.id!r}")
    return {
        "proxy_id": registration.id,
        "service": inbound.service,
        "workers": worker_count(registration),
        "status_address": str(status) if status is not None else "",
        "access_log": access_log(registration),
        "tls_min_version": versions.minimum.name,
        "tls_max_version": versions.maximum.name,
        "public_listener": None
        if public is None
        else {
            "address": str(public),
            "handshake_timeout_ms": _milliseconds(inbound.handshake_timeout_s),
            **_limits(inbound.limits, "max_inbound_connections"),
        },
        "local_service": {
            "address": str(inbound.application),
            "connect_timeout_ms": _milliseconds(inbound.connect_timeout_s),
            "proxy_protocol": "v2" if inbound.proxy_protocol else "",
        },
        "upstreams": [_upstream(registration, index) for index in range(len(registration.upstreams))],
    }


def _upstream(registration: Registration, index: int) -> Mapping[str, Any]:
    upstream = registration.upstreams[index]
    policy = upstream_policy(upstream, UpstreamEndpoints(upstream_id=upstream.id), trust_domain="")
    return {
        "id": upstream.id,
        "destination_type": upstream.destination_type,
        "destination_name": upstream.destination_name,
        "destination_namespace": upstream.destination_namespace,
        "datacenter": upstream.datacenter,
        "listen": str(policy.listen),
        "connect_timeout_ms": _milliseconds(policy.connect_timeout_s),
        **_limits(policy.limits, "max_connections"),
    }


def _limits(limits: ConnectionLimits, maximum: str) -> Mapping[str, Any]:
    return {
        maximum: limits.max_connections,
        "idle_timeout_ms": _milliseconds(limits.idle_timeout_s),
        "tcp_keepalive_ms": _milliseconds(limits.keepalive_s),
        "tcp_user_timeout_ms": _milliseconds(limits.user_timeout_s),
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * config_values.MILLISECONDS)
