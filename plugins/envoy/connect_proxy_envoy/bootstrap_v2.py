"""Envoy's bootstrap (v2), as Consul 1.8 renders it: for agents that serve no v3. Pure.

``envoy.config.bootstrap.v2.Bootstrap``; Envoy 1.18 dropped it.
"""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.plugin_api import ProxyContext
from connect_proxy_envoy.facts import HostFacts
from connect_proxy_envoy.knobs import Knobs
from connect_proxy_envoy.node import AGENT_CLUSTER, node_cluster, node_metadata
from connect_proxy_envoy.observability import observability
from connect_proxy_envoy.stats_sinks import stats_sinks
from connect_proxy_envoy.stats_tags import stats_tags_v2

_WITHOUT_RUNTIME: Final = "1.10.0"
"""The Envoy version for which Consul leaves the runtime layer out."""
_DEPRECATED: Final = (
    "envoy.api.v2.Cluster.tls_context",
    "envoy.config.trace.v2.ZipkinConfig.HTTP_JSON_V1",
    "envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager.Tracing.operation_name",
)


def document_v2(context: ProxyContext, facts: HostFacts, knobs: Knobs) -> dict[str, Any]:
    """The whole bootstrap, keys in Consul's order. Raises ConfigurationError naming the key."""
    version = context.option("envoy-version") or facts.newest_supported
    document: dict[str, Any] = {
        "admin": {
            "access_log_path": context.option("admin-access-log-path"),
            "address": facts.admin.to_envoy(),
        },
        "node": {
            "cluster": node_cluster(context),
            "id": context.registration.id,
            "metadata": node_metadata(context, envoy_version=version),
        },
        "static_resources": _static_resources(context, facts, knobs),
    }
    if sinks := stats_sinks(knobs, context.environment, v2=True):
        document["stats_sinks"] = sinks
    document["stats_config"] = knobs.json_object("envoy_stats_config_json") or {
        "stats_tags": stats_tags_v2(
            user_tags=knobs.texts("envoy_stats_tags"), cluster=node_cluster(context)
        ),
        "use_all_default_tags": True,
    }
    if interval := knobs.text("envoy_stats_flush_interval"):
        document["stats_flush_interval"] = interval
    if tracing := knobs.json_object("envoy_tracing_json"):
        document["tracing"] = tracing
    document["dynamic_resources"] = _dynamic_resources(context)
    if version != _WITHOUT_RUNTIME:
        allowed = {f"envoy.deprecated_features:{feature}": True for feature in _DEPRECATED}
        document["layered_runtime"] = {"layers": [{"name": "static_layer", "static_layer": allowed}]}
    return document


def _static_resources(context: ProxyContext, facts: HostFacts, knobs: Knobs) -> dict[str, Any]:
    assert facts.grpc is not None, "v2 is for the agent's xDS only"
    seen = observability(context, knobs, facts.admin)
    agent: dict[str, Any] = {"name": AGENT_CLUSTER, "connect_timeout": "1s", "type": "STATIC"}
    if facts.grpc.tls:
        trusted = {"validation_context": {"trusted_ca": {"inline_string": facts.grpc.ca_pem}}}
        agent["tls_context"] = {"common_tls_context": trusted}
    agent |= {"http2_protocol_options": {}, "hosts": [facts.grpc.address.to_envoy()]}
    extra = knobs.json_objects("envoy_extra_static_clusters_json")
    named = {cluster.get("name") for cluster in extra}
    own = [cluster.to_envoy_v2() for cluster in seen.clusters if cluster.name not in named]
    resources: dict[str, Any] = {"clusters": [agent, *extra, *own]}
    shown = [listener.to_envoy_v2() for listener in seen.listeners]
    if listeners := [*knobs.json_objects("envoy_extra_static_listeners_json"), *shown]:
        resources["listeners"] = listeners
    return resources


def _dynamic_resources(context: ProxyContext) -> dict[str, Any]:
    token = {"key": "x-consul-token", "value": context.agent.token.reveal()}
    services = {"initial_metadata": [token], "envoy_grpc": {"cluster_name": AGENT_CLUSTER}}
    return {
        "lds_config": {"ads": {}},
        "cds_config": {"ads": {}},
        "ads_config": {"api_type": "GRPC", "grpc_services": services},
    }
