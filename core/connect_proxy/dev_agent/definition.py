"""Registration bodies (``PUT /v1/agent/service/register``, ``/v1/agent/check/register``), decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.dev_agent.decoding import (
    Kind,
    Struct,
    boolean,
    duration,
    integer,
    list_of,
    map_of,
    opaque,
    text,
)
from connect_proxy.dev_agent.go_duration import NANOSECONDS
from connect_proxy.dev_agent.records import (
    CheckDefinition,
    ProxyRecord,
    ServiceRecord,
    TaggedAddress,
    UpstreamRecord,
    Weights,
)
from connect_proxy.mesh.immutable import EMPTY, frozen
from connect_proxy.mesh.registration import SERVICE
from connect_proxy.secret import Secret

_UPSTREAM: Final = Struct(
    {
        "DestinationType": text,
        "DestinationNamespace": text,
        "DestinationName": text,
        "Datacenter": text,
        "LocalBindAddress": text,
        "LocalBindPort": integer,
        "LocalBindSocketPath": text,
        "LocalBindSocketMode": text,
        "Config": opaque,
        "MeshGateway": opaque,
    },
    snake=True,
    camel_only=("MeshGateway",),
)
_PROXY: Final = Struct(
    {
        "DestinationServiceName": text,
        "DestinationServiceID": text,
        "LocalServiceAddress": text,
        "LocalServicePort": integer,
        "LocalServiceSocketPath": text,
        "Config": opaque,
        "Upstreams": list_of(_UPSTREAM),
        "MeshGateway": opaque,
        "Expose": opaque,
    },
    snake=True,
)
_CHECK_FIELDS: Final[Mapping[str, Kind]] = {
    "ID": text,
    "CheckID": text,
    "Name": text,
    "Notes": text,
    "Status": text,
    "ServiceID": text,
    "Token": text,
    "Script": text,
    "Args": list_of(text),
    "ScriptArgs": list_of(text),
    "Shell": text,
    "DockerContainerID": text,
    "TCP": text,
    "HTTP": text,
    "Method": text,
    "Body": text,
    "Header": map_of(list_of(text)),
    "TLSSkipVerify": boolean,
    "GRPC": text,
    "GRPCUseTLS": boolean,
    "AliasService": text,
    "AliasNode": text,
    "TTL": duration,
    "Interval": duration,
    "Timeout": duration,
    "DeregisterCriticalServiceAfter": duration,
    "SuccessBeforePassing": integer,
    "FailuresBeforeCritical": integer,
    "OutputMaxSize": integer,
    "ProxyHTTP": text,
    "ProxyGRPC": text,
}
CHECK: Final = Struct(_CHECK_FIELDS, snake=True)


def _nested_service(value: Any, path: str) -> dict[str, Any]:
    """``SidecarService`` is a whole service definition again."""
    return SERVICE_DEFINITION(value, path)


_CONNECT: Final = Struct({"Native": boolean, "SidecarService": _nested_service}, snake=True)
SERVICE_DEFINITION: Final = Struct(
    {
        "Kind": text,
        "ID": text,
        "Name": text,
        "Tags": list_of(text),
        "Address": text,
        "TaggedAddresses": map_of(Struct({"Address": text, "Port": integer}, snake=True)),
        "Meta": map_of(text),
        "Port": integer,
        "Check": CHECK,
        "Checks": list_of(CHECK),
        "Weights": Struct({"Passing": integer, "Warning": integer}),
        "Token": text,
        "EnableTagOverride": boolean,
        "Proxy": _PROXY,
        # Removed in Consul 1.6; taken here so that definitions written for older agents work.
        "ProxyDestination": text,
        "Connect": _CONNECT,
    },
    snake=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceDefinition:
    """A decoded registration: the record it asks for, its checks, and its sidecar's definition."""

    service: ServiceRecord
    checks: tuple[CheckDefinition, ...]
    weights_given: bool
    sidecar: ServiceDefinition | None = None
    has_id: bool = False


def service_definition(body: Mapping[str, Any]) -> ServiceDefinition:
    """The value behind a decoded ``SERVICE_DEFINITION``. Checks nothing."""
    connect = body.get("Connect", {})
    sidecar = connect.get("SidecarService")
    name = body.get("Name", "")
    kind = body.get("Kind", "")
    weights = body.get("Weights")
    record = ServiceRecord(
        id=body.get("ID", "") or name,
        name=name,
        kind=kind,
        tags=tuple(body.get("Tags", ())),
        meta=frozen(body.get("Meta", EMPTY)),
        address=body.get("Address", ""),
        port=body.get("Port", 0),
        tagged_addresses=frozen(
            {
                tag: TaggedAddress(address=address.get("Address", ""), port=address.get("Port", 0))
                for tag, address in body.get("TaggedAddresses", {}).items()
            }
        ),
        weights=_weights(weights),
        enable_tag_override=body.get("EnableTagOverride", False),
        native=connect.get("Native", False),
        proxy=_proxy(body.get("Proxy", {}), older_destination=body.get("ProxyDestination", "")),
        token=Secret(body.get("Token", "")),
    )
    one = [body["Check"]] if body.get("Check") else []
    return ServiceDefinition(
        service=record,
        checks=tuple(check_definition(check) for check in [*one, *body.get("Checks", [])]),
        weights_given=weights is not None,
        sidecar=None if sidecar is None else service_definition(sidecar),
        has_id=bool(body.get("ID")),
    )


def check_definition(body: Mapping[str, Any]) -> CheckDefinition:
    """The value behind a decoded ``CHECK``. Checks nothing."""
    return CheckDefinition(
        id=body.get("ID", "") or body.get("CheckID", ""),
        name=body.get("Name", ""),
        notes=body.get("Notes", ""),
        status=body.get("Status", ""),
        service_id=body.get("ServiceID", ""),
        tcp=body.get("TCP", ""),
        http=body.get("HTTP", ""),
        method=body.get("Method", ""),
        body=body.get("Body", ""),
        header=frozen(body.get("Header", EMPTY)),
        tls_skip_verify=body.get("TLSSkipVerify", False),
        grpc=body.get("GRPC", ""),
        grpc_use_tls=body.get("GRPCUseTLS", False),
        alias_service=body.get("AliasService", ""),
        alias_node=body.get("AliasNode", ""),
        script=any(body.get(key) for key in ("Script", "Args", "ScriptArgs", "DockerContainerID")),
        ttl=body.get("TTL", 0) / NANOSECONDS,
        interval=body.get("Interval", 0) / NANOSECONDS,
        timeout=body.get("Timeout", 0) / NANOSECONDS,
        deregister_after=body.get("DeregisterCriticalServiceAfter", 0) / NANOSECONDS,
        success_before_passing=body.get("SuccessBeforePassing", 0),
        failures_before_critical=body.get("FailuresBeforeCritical", 0),
    )


def _weights(body: Mapping[str, int] | None) -> Weights:
    if body is None:
        return Weights()
    return Weights(passing=body.get("Passing", 0), warning=body.get("Warning", 0))


def _proxy(body: Mapping[str, Any], *, older_destination: str) -> ProxyRecord:
    config = body.get("Config")
    return ProxyRecord(
        destination_service_name=body.get("DestinationServiceName", "") or older_destination,
        destination_service_id=body.get("DestinationServiceID", ""),
        local_service_address=body.get("LocalServiceAddress", ""),
        local_service_port=body.get("LocalServicePort", 0),
        local_service_socket_path=body.get("LocalServiceSocketPath", ""),
        config=None if config is None else frozen(config),
        upstreams=_upstreams(body.get("Upstreams", ())),
        mesh_gateway=frozen(body.get("MeshGateway", EMPTY)),
        expose=frozen(body.get("Expose", EMPTY)),
    )


def _upstreams(bodies: Sequence[Mapping[str, Any]]) -> tuple[UpstreamRecord, ...]:
    return tuple(
        UpstreamRecord(
            destination_name=body.get("DestinationName", ""),
            destination_type=body.get("DestinationType", "") or SERVICE,
            destination_namespace=body.get("DestinationNamespace", ""),
            datacenter=body.get("Datacenter", ""),
            local_bind_address=body.get("LocalBindAddress", ""),
            local_bind_port=body.get("LocalBindPort", 0),
            local_bind_socket_path=body.get("LocalBindSocketPath", ""),
            local_bind_socket_mode=body.get("LocalBindSocketMode", ""),
            config=None if body.get("Config") is None else frozen(body["Config"]),
            mesh_gateway=frozen(body.get("MeshGateway", EMPTY)),
        )
        for body in bodies
    )
