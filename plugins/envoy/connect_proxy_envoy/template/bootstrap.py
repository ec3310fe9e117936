"""The bootstrap from a registration's own template. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from connect_proxy.plugin_api import ProxyContext
from connect_proxy_envoy.address import PipeAddress, SocketAddress
from connect_proxy_envoy.facts import HostFacts
from connect_proxy_envoy.node import AGENT_CLUSTER, node_cluster
from connect_proxy_envoy.template.document import render_template
from connect_proxy_envoy.template.words import RawJson, Value, template_error
from connect_proxy_envoy.xds_socket import xds_socket


def templated(
    template: str, context: ProxyContext, facts: HostFacts, generated: Mapping[str, Any]
) -> dict[str, Any]:
    """*template* filled in. *generated* is the bootstrap that we would render: the source of the parts
    that come as whole pieces of JSON.

    Raises ConfigurationError for what is not supported and for a result that is no JSON object.
    """
    text = render_template(template, template_fields(context, facts, generated))
    try:
        document = json.loads(text)
    except json.JSONDecodeError as exc:
        # Not the line itself: it may hold the token.
        raise template_error(what=f"gives no JSON: {exc.msg} in line {exc.lineno} of the result") from exc
    if not isinstance(document, dict):
        raise template_error(what="gives no JSON object")
    return document


def template_fields(
    context: ProxyContext, facts: HostFacts, generated: Mapping[str, Any]
) -> dict[str, Value]:
    """The fields of Consul's ``BootstrapTplArgs``."""
    grpc = _grpc(context, facts)
    admin = facts.admin
    static = generated["static_resources"]
    registration = context.registration
    return {
        **grpc,
        "GRPC": grpc,
        "AgentCAPEM": facts.grpc.ca_pem if facts.grpc else "",
        "LocalAgentClusterName": AGENT_CLUSTER,
        "Token": context.agent.token.reveal() if facts.grpc else "",
        "ProxyCluster": node_cluster(context),
        "ProxyID": registration.id,
        "ProxySourceService": node_cluster(context),
        "NodeName": context.option("node-name"),
        "Namespace": registration.namespace or "default",
        "Partition": registration.partition or "default",
        "Datacenter": context.datacenter or registration.datacenter,
        "EnvoyVersion": str(facts.program.version) if facts.program else facts.newest_supported,
        "AdminAccessLogPath": context.option("admin-access-log-path"),
        "AdminAccessLogConfig": [RawJson(json.dumps(log)) for log in _access_logs(generated)],
        "AdminBindAddress": admin.host if isinstance(admin, SocketAddress) else "",
        "AdminBindPort": str(admin.port) if isinstance(admin, SocketAddress) else "",
        "StaticClustersJSON": _joined(static["clusters"][1:]),
        "StaticListenersJSON": _joined(static.get("listeners", [])),
        "StaticSecretsJSON": _joined(static.get("secrets", [])),
        "StatsSinksJSON": _joined(generated.get("stats_sinks", [])),
        "StatsConfigJSON": RawJson(json.dumps(generated["stats_config"])),
        "StatsFlushInterval": generated.get("stats_flush_interval", ""),
        "TracingConfigJSON": RawJson(json.dumps(generated["tracing"]) if "tracing" in generated else ""),
        "PrometheusBackendPort": context.option("prometheus-backend-port"),
        "PrometheusScrapePath": context.option("prometheus-scrape-path"),
        "PrometheusCAFile": context.option("prometheus-ca-file"),
        "PrometheusCAPath": context.option("prometheus-ca-path"),
        "PrometheusCertFile": context.option("prometheus-cert-file"),
        "PrometheusKeyFile": context.option("prometheus-key-file"),
    }


def secret_pointers(document: object, secret: str, at: str = "") -> Iterator[str]:
    """JSON pointers of every string in *document* that holds *secret*, wherever a template put it."""
    if not secret:
        return
    if isinstance(document, str) and secret in document:
        yield at
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield from secret_pointers(value, secret, f"{at}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(document, list | tuple):
        for index, value in enumerate(document):
            yield from secret_pointers(value, secret, f"{at}/{index}")


def _grpc(context: ProxyContext, facts: HostFacts) -> dict[str, Value]:
    """Where xDS is: the agent's, or our own socket."""
    address = facts.grpc.address if facts.grpc else PipeAddress(path=xds_socket(context.runtime_dir))
    tls = facts.grpc is not None and facts.grpc.tls
    if isinstance(address, PipeAddress):
        return {"AgentAddress": "", "AgentPort": "", "AgentTLS": tls, "AgentSocket": address.path}
    port = str(address.port)
    return {"AgentAddress": address.host, "AgentPort": port, "AgentTLS": tls, "AgentSocket": ""}


def _access_logs(generated: Mapping[str, Any]) -> list[Any]:
    """Empty for v2, which has a path only."""
    return list(generated["admin"].get("access_log", []))


def _joined(objects: list[Any]) -> RawJson:
    """Objects separated by commas, without brackets."""
    return RawJson(",\n".join(json.dumps(item) for item in objects))
