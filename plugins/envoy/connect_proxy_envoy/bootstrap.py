"""Envoy's bootstrap (v3), in the shape and order in which the newest Consul renders it. Pure.

``envoy.config.bootstrap.v3.Bootstrap``; the mixture of snake_case and camelCase is Consul's.
"""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.mesh.immutable import EMPTY
from connect_proxy.plugin_api import ProxyContext, RenderedConfig
from connect_proxy_envoy import telemetry
from connect_proxy_envoy.address import Address, PipeAddress
from connect_proxy_envoy.facts import AgentGrpc, HostFacts, facts_of
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.node import AGENT_CLUSTER, node_cluster, node_metadata
from connect_proxy_envoy.observability import observability
from connect_proxy_envoy.stats_sinks import stats_sinks
from connect_proxy_envoy.stats_tags import stats_tags
from connect_proxy_envoy.xds_socket import xds_socket

LOCAL_CLUSTER: Final = "connect_proxy_xds"
TOKEN_POINTER: Final = "/dynamic_resources/ads_config/grpc_services/initial_metadata/0/value"  # noqa: S105
_TYPES: Final = "type.googleapis.com/"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def render(context: ProxyContext) -> RenderedConfig:
    """The bootstrap for this proxy. Raises ConfigurationError naming the key of ``Proxy.Config``."""
    facts = facts_of(context)
    config = EMPTY if context.option("no-central-config") else context.registration.config
    knobs = Knobs(config, where="Proxy.Config")
    document = _document_v2(context, facts, knobs) if facts.v2 else _document(context, facts, knobs)
    if template := knobs.text("envoy_bootstrap_json_tpl"):
        # Few need it: imported by those alone.
        from connect_proxy_envoy.template.bootstrap import secret_pointers, templated

        document = templated(template, context, facts, document)
        secrets = tuple(secret_pointers(document, context.agent.token.reveal()))
    else:
        secrets = (TOKEN_POINTER,) if facts.grpc is not None else ()
    # What -bootstrap prints is meant to start an Envoy from, so the token has to be in it.
    return RenderedConfig(document=document, secrets=secrets, mask_when_printed=False)


def _document_v2(context: ProxyContext, facts: HostFacts, knobs: Knobs) -> dict[str, Any]:
    from connect_proxy_envoy.bootstrap_v2 import document_v2

    return document_v2(context, facts, knobs)


def _document(context: ProxyContext, facts: HostFacts, knobs: Knobs) -> dict[str, Any]:
    document: dict[str, Any] = {
        "admin": _admin(context, facts),
        "node": _node(context),
        "layered_runtime": {
            "layers": [{"name": "base", "static_layer": {"re2.max_program_size.error_level": 1048576}}]
        },
        "static_resources": _static_resources(context, facts, knobs),
    }
    collector = telemetry.collector_socket(knobs, context.registration)
    sinks = stats_sinks(knobs, context.environment)
    if collector is not None:
        document["static_resources"]["clusters"].append(_grpc_cluster(telemetry.CLUSTER, collector, None))
    if sinks or collector is not None:
        document["stats_sinks"] = [*sinks, *([telemetry.collector_sink()] if collector else [])]
    document["stats_config"] = knobs.json_object("envoy_stats_config_json") or _stats_config(context, knobs)
    slow = telemetry.DEFAULT_FLUSH_INTERVAL if collector is not None and not sinks else ""
    if interval := knobs.text("envoy_stats_flush_interval", slow):
        document["stats_flush_interval"] = interval
    if tracing := knobs.json_object("envoy_tracing_json"):
        document["tracing"] = tracing
    document["dynamic_resources"] = _dynamic_resources(context, facts)
    return document


def _admin(context: ProxyContext, facts: HostFacts) -> dict[str, Any]:
    access_log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": context.option("admin-access-log-path"),
        },
    }
    return {"access_log": list(facts.access_logs) or [access_log], "address": facts.admin.to_envoy()}


def _node(context: ProxyContext) -> dict[str, Any]:
    registration = context.registration
    return {
        "cluster": node_cluster(context),
        "id": registration.id,
        "metadata": node_metadata(context, partition=registration.partition or "default"),
    }


def _static_resources(context: ProxyContext, facts: HostFacts, knobs: Knobs) -> dict[str, Any]:
    seen = observability(context, knobs, facts.admin)
    if facts.grpc is None:
        xds = _grpc_cluster(LOCAL_CLUSTER, PipeAddress(path=xds_socket(context.runtime_dir)), None)
    else:
        xds = _grpc_cluster(AGENT_CLUSTER, facts.grpc.address, facts.grpc)
    extra = knobs.json_objects("envoy_extra_static_clusters_json")
    named = {cluster.get("name") for cluster in extra}
    own = [cluster.to_envoy() for cluster in seen.clusters if cluster.name not in named]
    resources: dict[str, Any] = {"clusters": [xds, *extra, *own]}
    shown = [listener.to_envoy() for listener in seen.listeners]
    if listeners := [*knobs.json_objects("envoy_extra_static_listeners_json"), *shown]:
        resources["listeners"] = listeners
    if seen.secrets:
        resources["secrets"] = list(seen.secrets)
    return resources


def _grpc_cluster(name: str, address: Address, grpc: AgentGrpc | None) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": name,
        "ignore_health_on_host_removal": False,
        "connect_timeout": "1s",
        "type": "STATIC",
    }
    if grpc is not None and grpc.tls:
        cluster["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": f"{_TYPES}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "validation_context": {"trusted_ca": {"inline_string": grpc.ca_pem}}
                },
            },
        }
    cluster["typed_extension_protocol_options"] = {
        _HTTP_OPTIONS: {
            "@type": f"{_TYPES}{_HTTP_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    cluster["loadAssignment"] = {
        "clusterName": name,
        "endpoints": [{"lbEndpoints": [{"endpoint": {"address": address.to_envoy()}}]}],
    }
    return cluster


def _stats_config(context: ProxyContext, knobs: Knobs) -> dict[str, Any]:
    registration = context.registration
    tags = stats_tags(
        user_tags=knobs.texts("envoy_stats_tags"),
        cluster=node_cluster(context),
        service=node_cluster(context),
        namespace=registration.namespace,
        partition=registration.partition,
        datacenter=context.datacenter or registration.datacenter,
        omit_deprecated=context.option("omit-deprecated-tags"),
    )
    return {"stats_tags": tags, "use_all_default_tags": True}


def _dynamic_resources(context: ProxyContext, facts: HostFacts) -> dict[str, Any]:
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    services: dict[str, Any] = {}
    if facts.grpc is not None:
        token = context.agent.token.reveal()
        services["initial_metadata"] = [{"key": "x-consul-token", "value": token}]
    services["envoy_grpc"] = {"cluster_name": LOCAL_CLUSTER if facts.grpc is None else AGENT_CLUSTER}
    return {
        "lds_config": source,
        "cds_config": dict(source),
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": services,
        },
    }
