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
        chain: dict[str, Any] = {"filters": [self._connection_manager()]}
        if self.tls is not None:
            chain["transportSocket"] = _transport_socket()
        return {
            "name": f"envoy_{self.name}_listener",
            "address": self.address.to_envoy(),
            "filter_chains": [chain],
        }

    def _connection_manager(self) -> dict[str, Any]:
        routes = [
            {"match": self.match, "route": {"cluster": self.cluster, "prefix_rewrite": self.rewrite}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
        ]
        host = {"name": SELF_ADMIN, "domains": ["*"], "routes": routes}
        router = {"@type": f"{_TYPES}.filters.http.router.v3.Router"}
        manager = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
        return {
            "name": "envoy.filters.network.http_connection_manager",
            "typedConfig": {
                "@type": manager,
                "stat_prefix": f"envoy_{self.name}",
                "codec_type": "HTTP1",
                "route_config": {"name": "self_admin_route", "virtual_hosts": [host]},
                "http_filters": [{"name": "envoy.filters.http.router", "typedConfig": router}],
            },
        }


def admin_cluster(name: str, admin: Address, port: str = "") -> dict[str, Any]:
    """The admin API (or another *port* beside it) as a cluster. *port* is digits."""
    address = admin
    if port:
        host = "127.0.0.1" if isinstance(admin, PipeAddress) else admin.host
        address = SocketAddress(host=host, port=int(port))
    elif isinstance(admin, PipeAddress):
        address = PipeAddress(path=admin.path)
    options = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions".replace("type.googleapis.com/", "")
    return {
        "name": name,
        "ignore_health_on_host_removal": False,
        "connect_timeout": "5s",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "loadAssignment": {
            "clusterName": name,
            "endpoints": [{"lbEndpoints": [{"endpoint": {"address": address.to_envoy()}}]}],
        },
    }


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
