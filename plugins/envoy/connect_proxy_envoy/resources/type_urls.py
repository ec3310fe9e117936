"""The types of the messages we build."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "type.googleapis.com/"

CLUSTER: Final = f"{PREFIX}envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = f"{PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET: Final = f"{PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION: Final = f"{PREFIX}envoy.config.core.v3.TypedExtensionConfig"
LISTENER: Final = f"{PREFIX}envoy.config.listener.v3.Listener"

ORDER: Final = (CLUSTER, ENDPOINTS, SECRET, EXTENSION, LISTENER)
"""Make before break: what is referred to comes before what refers to it."""

_EXTENSIONS: Final = f"{PREFIX}envoy.extensions"
RBAC_FILTER: Final = f"{_EXTENSIONS}.filters.network.rbac.v3.RBAC"
HTTP_RBAC_FILTER: Final = f"{_EXTENSIONS}.filters.http.rbac.v3.RBAC"
CONNECTION_LIMIT: Final = f"{_EXTENSIONS}.filters.network.connection_limit.v3.ConnectionLimit"
TCP_PROXY: Final = f"{_EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy"
HTTP_MANAGER: Final = f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER: Final = f"{_EXTENSIONS}.filters.http.router.v3.Router"
GRPC_STATS: Final = f"{_EXTENSIONS}.filters.http.grpc_stats.v3.FilterConfig"
GRPC_BRIDGE: Final = f"{_EXTENSIONS}.filters.http.grpc_http1_bridge.v3.Config"
PREVIOUS_HOSTS: Final = f"{_EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
DOWNSTREAM_TLS: Final = f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM_TLS: Final = f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
HTTP_OPTIONS_NAME: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP_OPTIONS: Final = f"{PREFIX}{HTTP_OPTIONS_NAME}"
