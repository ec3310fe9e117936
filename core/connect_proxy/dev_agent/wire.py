"""Records as the JSON objects of Consul's HTTP API.

The agent's own endpoints and the catalog's show the same record with different keys: the agent's
omit what is empty, the catalog's always carry ``Proxy`` and ``Connect``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from connect_proxy.dev_agent.catalog import Instance
from connect_proxy.dev_agent.records import (
    CheckRecord,
    Node,
    ProxyRecord,
    ServiceRecord,
    UpstreamRecord,
)
from connect_proxy.mesh.immutable import thawed
from connect_proxy.mesh.registration import CONNECT_PROXY

Json = dict[str, Any]


def agent_service(service: ServiceRecord) -> Json:
    """As ``/v1/agent/services`` shows it."""
    shown: Json = {"Kind": service.kind} if service.kind else {}
    shown |= {
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Meta": dict(service.meta),
        "Port": service.port,
        "Address": service.address,
    }
    if addresses := tagged_addresses(service):
        shown["TaggedAddresses"] = addresses
    shown |= {"Weights": _weights(service), "EnableTagOverride": service.enable_tag_override}
    if service.kind in {CONNECT_PROXY, "mesh-gateway", "terminating-gateway", "ingress-gateway"}:
        shown["Proxy"] = agent_proxy(service.proxy)
    if service.native:
        shown["Connect"] = {"Native": True}
    return shown


def agent_service_with_hash(service: ServiceRecord) -> Json:
    """As ``/v1/agent/service/:id`` shows it. ``ContentHash`` is opaque: equal content, equal hash."""
    shown = agent_service(service)
    content = json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()
    return shown | {"ContentHash": hashlib.blake2b(content, digest_size=8).hexdigest()}


def catalog_service(service: ServiceRecord) -> Json:
    """As ``Service`` inside ``/v1/health/service/:name`` shows it."""
    shown: Json = {"Kind": service.kind} if service.kind else {}
    shown |= {
        "ID": service.id,
        "Service": service.name,
        "Tags": list(service.tags),
        "Address": service.address,
    }
    if addresses := tagged_addresses(service):
        shown["TaggedAddresses"] = addresses
    return shown | {
        "Meta": dict(service.meta),
        "Port": service.port,
        "Weights": _weights(service),
        "EnableTagOverride": service.enable_tag_override,
        "Proxy": catalog_proxy(service),
        "Connect": {"Native": True} if service.native else {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    }


def catalog_entry(service: ServiceRecord, node: Node) -> Json:
    """As ``/v1/catalog/service/:name`` shows it: node and service in one flat object."""
    shown: Json = {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node_addresses(node),
        "NodeMeta": dict(node.meta),
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": list(service.tags),
        "ServiceAddress": service.address,
    }
    if addresses := tagged_addresses(service):
        shown["ServiceTaggedAddresses"] = addresses
    return shown | {
        "ServiceWeights": _weights(service),
        "ServiceMeta": dict(service.meta),
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": catalog_proxy(service),
        "ServiceConnect": {"Native": True} if service.native else {},
        "CreateIndex": service.create_index,
        "ModifyIndex": service.modify_index,
    }


def health_entry(instance: Instance, node: Node) -> Json:
    """As ``/v1/health/service/:name`` shows it."""
    return {
        "Node": catalog_node(node),
        "Service": catalog_service(instance.service),
        "Checks": [catalog_check(check, node) for check in instance.checks],
    }


def catalog_node(node: Node) -> Json:
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node_addresses(node),
        "Meta": dict(node.meta),
        "CreateIndex": node.create_index,
        "ModifyIndex": node.modify_index,
    }


def catalog_check(check: CheckRecord, node: Node) -> Json:
    return {
        "Node": node.name,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": list(check.service_tags),
        "Type": check.type,
        "Definition": {},
        "CreateIndex": check.create_index,
        "ModifyIndex": check.modify_index,
    }


def agent_check(check: CheckRecord, node: Node) -> Json:
    """As ``/v1/agent/checks`` shows it: local state has no indexes."""
    return catalog_check(check, node) | {"CreateIndex": 0, "ModifyIndex": 0}


def node_addresses(node: Node) -> dict[str, str]:
    version = f"ipv{ip_address(node.address).version}"
    return dict.fromkeys(("lan", f"lan_{version}", "wan", f"wan_{version}"), node.address)


def tagged_addresses(service: ServiceRecord) -> Json:
    """What was given; else, for a service on an IP address of its own, that address."""
    given = service.tagged_addresses
    if not given and service.address:
        try:
            version = f"ipv{ip_address(service.address).version}"
        except ValueError:
            return {}
        pair = {"Address": service.address, "Port": service.port}
        return {f"lan_{version}": pair, f"wan_{version}": dict(pair)}
    return {tag: {"Address": value.address, "Port": value.port} for tag, value in given.items()}


def agent_proxy(proxy: ProxyRecord) -> Json:
    upstreams = [_agent_upstream(upstream) for upstream in proxy.upstreams]
    return _proxy(proxy, upstreams)


def catalog_proxy(service: ServiceRecord) -> Json:
    if not service.kind:
        return {"MeshGateway": {}, "Expose": {}}
    upstreams = [_catalog_upstream(upstream) for upstream in service.proxy.upstreams]
    return _proxy(service.proxy, upstreams)


def _proxy(proxy: ProxyRecord, upstreams: list[Json]) -> Json:
    shown: Json = {"DestinationServiceName": proxy.destination_service_name}
    shown |= _given(
        {
            "DestinationServiceID": proxy.destination_service_id,
            "LocalServiceAddress": proxy.local_service_address,
            "LocalServicePort": proxy.local_service_port,
            "LocalServiceSocketPath": proxy.local_service_socket_path,
            "Config": None if proxy.config is None else thawed(proxy.config),
            "Upstreams": upstreams,
        }
    )
    return shown | {"MeshGateway": thawed(proxy.mesh_gateway), "Expose": thawed(proxy.expose)}


def _agent_upstream(upstream: UpstreamRecord) -> Json:
    shown = _given(
        {
            "DestinationType": upstream.destination_type,
            "DestinationNamespace": upstream.destination_namespace,
            "DestinationName": upstream.destination_name,
            "Datacenter": upstream.datacenter,
            "LocalBindAddress": upstream.local_bind_address,
            "LocalBindPort": upstream.local_bind_port,
            "LocalBindSocketPath": upstream.local_bind_socket_path,
            "LocalBindSocketMode": upstream.local_bind_socket_mode,
            "Config": None if upstream.config is None else thawed(upstream.config),
        }
    )
    return shown | {"MeshGateway": thawed(upstream.mesh_gateway)}


def _catalog_upstream(upstream: UpstreamRecord) -> Json:
    shown = {"Datacenter": "", "Config": None} | _agent_upstream(upstream)
    if upstream.config is not None:
        shown["Config"] = thawed(upstream.config)
    return shown


def _given(values: Mapping[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value}


def _weights(service: ServiceRecord) -> Json:
    return {"Passing": service.weights.passing, "Warning": service.weights.warning}
