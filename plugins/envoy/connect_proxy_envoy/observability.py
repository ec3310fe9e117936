"""What of Envoy can be scraped and probed: the admin listeners that options and registration ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connect_proxy.errors import ConfigurationError, UsageError
from connect_proxy.plugin_api import ProxyContext
from connect_proxy_envoy.address import Address, SocketAddress, is_ip, parse_host_port
from connect_proxy_envoy.admin_listeners import (
    PROMETHEUS_BACKEND,
    SELF_ADMIN,
    AdminCluster,
    AdminListener,
    ScrapeTls,
    admin_cluster,
    scrape_secrets,
)
from connect_proxy_envoy.gateway import ready_address
from connect_proxy_envoy.knobs import Knobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Observability:
    """Static listeners, clusters and secrets."""

    listeners: tuple[AdminListener, ...]
    clusters: tuple[AdminCluster, ...]
    secrets: tuple[dict[str, Any], ...]


def observability(context: ProxyContext, knobs: Knobs, admin: Address) -> Observability:
    """Raises ConfigurationError and UsageError for addresses and certificates that cannot be."""
    listeners = [
        listener
        for listener in (_prometheus(context, knobs), _statistics(knobs), _ready(context))
        if listener is not None
    ]
    wanted = list(dict.fromkeys(listener.cluster for listener in listeners))
    port = context.option("prometheus-backend-port")
    clusters = [admin_cluster(name, admin, port if name == PROMETHEUS_BACKEND else "") for name in wanted]
    secrets = [entry for listener in listeners if listener.tls for entry in scrape_secrets(listener.tls)]
    return Observability(
        listeners=tuple(listeners),
        clusters=tuple(clusters),
        secrets=tuple(secrets),
    )


def _prometheus(context: ProxyContext, knobs: Knobs) -> AdminListener | None:
    tls = _scrape_tls(context)
    address = _bind_address(knobs, "envoy_prometheus_bind_addr")
    if address is None:
        return None
    port = context.option("prometheus-backend-port")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        message = f"-prometheus-backend-port is no port: {port!r}; give a number from 1 to 65535"
        raise ConfigurationError(message)
    return AdminListener(
        name="prometheus_metrics",
        address=address,
        match={"path": context.option("prometheus-scrape-path")},
        rewrite="/stats/prometheus",
        cluster=PROMETHEUS_BACKEND if port else SELF_ADMIN,
        tls=tls,
    )


def _statistics(knobs: Knobs) -> AdminListener | None:
    address = _bind_address(knobs, "envoy_stats_bind_addr")
    if address is None:
        return None
    return AdminListener(name="metrics", address=address, match={"prefix": "/stats"}, rewrite="/stats")


def _ready(context: ProxyContext) -> AdminListener | None:
    host, port = context.option("envoy-ready-bind-address"), context.option("envoy-ready-bind-port")
    if not host and not port:
        address = ready_address(context.options)
        return None if address is None else _ready_listener(address)
    if not host or not 0 < port < 65536:
        message = (
            "-envoy-ready-bind-address and -envoy-ready-bind-port belong together, got "
            f"{host!r} and {port!r}; give both or none"
        )
        raise UsageError(message)
    address = SocketAddress(host=host.strip("[]"), port=port)
    return _ready_listener(address)


def _ready_listener(address: SocketAddress) -> AdminListener:
    return AdminListener(name="ready", address=address, match={"path": "/ready"}, rewrite="/ready")


def _bind_address(knobs: Knobs, key: str) -> SocketAddress | None:
    text = knobs.text(key)
    if not text:
        return None
    address = parse_host_port(text, what=f"Proxy.Config.{key}", default_host="0.0.0.0")  # noqa: S104 - Consul's
    if not is_ip(address.host):
        raise knobs.error(key, text, "an IP address and a port")
    return address


def _scrape_tls(context: ProxyContext) -> ScrapeTls | None:
    tls = ScrapeTls(
        ca_file=context.option("prometheus-ca-file"),
        ca_path=context.option("prometheus-ca-path"),
        cert_file=context.option("prometheus-cert-file"),
        key_file=context.option("prometheus-key-file"),
    )
    given = [bool(tls.ca_file or tls.ca_path), bool(tls.cert_file), bool(tls.key_file)]
    if not any(given):
        return None
    if not all(given):
        message = (
            "TLS for Prometheus needs all of -prometheus-ca-file (or -prometheus-ca-path), "
            "-prometheus-cert-file and -prometheus-key-file; give all or none"
        )
        raise UsageError(message)
    return tls
