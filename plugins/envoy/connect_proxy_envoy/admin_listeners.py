"""Static listeners that show a part of the admin API: metrics, statistics, readiness.

The admin API itself stays on its private address; these listeners forward one path to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from connect_proxy_envoy.address import Address, PipeAddress, SocketAddress

SELF_ADMIN: Final = "self_admin"
PROMETHEUS_BACKEND: Final = "prometheus_backend"
_TYPES: Final = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CERT: Final = "prometheus_cert"
_VALIDATION: Final = "prometheus_validation_context"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrapeTls:
    """Certificates for the Prometheus listener: all of them, or none."""

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminListener:
    """One listener: what it answers and where it gets that from."""

    name: str
    """Without ``envoy_`` and ``_listener``: ``prometheus_metrics``, ``metrics``, ``ready``."""
    address: SocketAddress
    match: dict[str, str] = field(hash=False)
    """``path`` or ``prefix`` of the request."""
    rewrite: str
    cluster: str = SELF_ADMIN
    tls: ScrapeTls | None = None

    def to_envoy(self) -> dict[str, Any]:
        """``envoy.config.listener.v3.Listener``."""
        router = {"@type": f"{_TYPES}.filters.http.router.v3.Router"}
        manager = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
        filters = [{"name": "envoy.filters.http.router", "typedConfig": router}]
        chain: dict[str, Any] = {
            "filters": [
                {
                    "name": "envoy.filters.network.http_connection_manager",
                    "typedConfig": {"@type": manager, **self._manager(), "http_filters": filters},
                }
            ]
        }
        if self.tls is not None:
            chain["transportSocket"] = _transport_socket()
        return self._listener(chain)

    def to_envoy_v2(self) -> dict[str, Any]:
        """``envoy.api.v2.Listener``, as Consul 1.8 writes it. Knows no TLS."""
        config = {**self._manager(), "http_filters": [{"name": "envoy.router"}]}
        return self._listener({"filters": [{"name": "envoy.http_connection_manager", "config": config}]})

    def _listener(self, chain: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": f"envoy_{self.name}_listener",
            "address": self.address.to_envoy(),
            "filter_chains": [chain],
        }

    def _manager(self) -> dict[str, Any]:
        """What both versions of the connection manager have."""
        routes = [
            {"match": self.match, "route": {"cluster": self.cluster, "prefix_rewrite": self.rewrite}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
        ]
        host = {"name": SELF_ADMIN, "domains": ["*"], "routes": routes}
        return {
            "stat_prefix": f"envoy_{self.name}",
            "codec_type": "HTTP1",
            "route_config": {"name": "self_admin_route", "virtual_hosts": [host]},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminCluster:
    """The admin API, or another port beside it, as a cluster."""

    name: str
    address: Address

    def to_envoy(self) -> dict[str, Any]:
        """``envoy.config.cluster.v3.Cluster``."""
        return {
            "name": self.name,
            "ignore_health_on_host_removal": False,
            "connect_timeout": "5s",
            "type": "STATIC",
            "typed_extension_protocol_options": {
                _HTTP_OPTIONS: {
                    "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                    "explicit_http_config": {"http_protocol_options": {}},
                }
            },
            "loadAssignment": {
                "clusterName": self.name,
                "endpoints": [{"lbEndpoints": [{"endpoint": {"address": self.address.to_envoy()}}]}],
            },
        }

    def to_envoy_v2(self) -> dict[str, Any]:
        """``envoy.api.v2.Cluster``."""
        return {
            "name": self.name,
            "connect_timeout": "5s",
            "type": "STATIC",
            "http_protocol_options": {},
            "hosts": [self.address.to_envoy()],
        }


def admin_cluster(name: str, admin: Address, port: str = "") -> AdminCluster:
    """The admin API as a cluster, or *port* (digits) on the same host."""
    if port:
        host = "127.0.0.1" if isinstance(admin, PipeAddress) else admin.host
        return AdminCluster(name=name, address=SocketAddress(host=host, port=int(port)))
    # The mode of the socket is for who makes it.
    address = PipeAddress(path=admin.path) if isinstance(admin, PipeAddress) else admin
    return AdminCluster(name=name, address=address)


def scrape_secrets(tls: ScrapeTls) -> list[dict[str, Any]]:
    """``static_resources.secrets`` for the Prometheus listener. Envoy reads the files itself."""
    trusted = {"trustedCa": {"filename": tls.ca_file}}
    if not tls.ca_file:
        trusted = {"watchedDirectory": {"path": tls.ca_path}}
    certificate = {
        "certificateChain": {"filename": tls.cert_file},
        "privateKey": {"filename": tls.key_file},
    }
    return [
        {"name": _CERT, "tlsCertificate": certificate},
        {"name": _VALIDATION, "validationContext": trusted},
    ]


def _transport_socket() -> dict[str, Any]:
    return {
        "name": "tls",
        "typedConfig": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "commonTlsContext": {
                "tlsCertificateSdsSecretConfigs": [{"name": _CERT}],
                "validationContextSdsSecretConfig": {"name": _VALIDATION},
            },
        },
    }
