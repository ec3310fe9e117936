"""What Consul refuses to register, with its words. Source: tried on Consul 1.8.7."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from connect_proxy.dev_agent.definition import ServiceDefinition
from connect_proxy.dev_agent.records import STATUSES, CheckDefinition, ServiceRecord, Weights
from connect_proxy.errors import ApiError
from connect_proxy.mesh.registration import CONNECT_PROXY, PREPARED_QUERY, SERVICE

_META_KEY: Final = re.compile(r"[a-zA-Z0-9_-]+")
_META_PAIRS: Final = 64
_META_KEY_LENGTH: Final = 128
_META_VALUE_LENGTH: Final = 512
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 - refused, not listened on
_MAX_WEIGHT: Final = 65535
_UPSTREAM_TYPES: Final = frozenset({SERVICE, PREPARED_QUERY})
_SCRIPTS_DISABLED: Final = (
    "Scripts are disabled on this agent from remote calls; to enable, configure "
    "'enable_script_checks' to true"
)


def multi_error(complaints: Sequence[str]) -> str:
    """Several complaints as Consul lists them."""
    count = "1 error" if len(complaints) == 1 else f"{len(complaints)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {line}\n" for line in complaints) + "\n"


def check_service(definition: ServiceDefinition) -> None:
    """Raises ApiError (400) if Consul would not register *definition*."""
    service = definition.service
    if not service.name:
        raise ApiError(400, "Missing service name")
    if service.address in _ANY_ADDRESS:
        raise ApiError(400, "Invalid service address")
    if complaint := meta_complaint(service.meta):
        raise ApiError(400, f"Invalid Service Meta: {complaint}")
    if complaints := [*_proxy_complaints(service), *_sidecar_complaints(definition.sidecar)]:
        raise ApiError(400, multi_error(complaints))
    for check in definition.checks:
        refuse_check(check)
    if definition.weights_given and (complaint := _weights_complaint(service.weights)):
        raise ApiError(400, f"Invalid Weights: {complaint}")
    if definition.sidecar is not None:
        _check_sidecar(definition.sidecar)


def refuse_check(
    check: CheckDefinition, *, bad_status: str = "Status for checks must 'passing', 'warning', 'critical'"
) -> None:
    """Raises ApiError if *check* cannot be run. *bad_status* words one complaint."""
    if complaint := check_complaint(check):
        raise ApiError(400, f"Invalid check: {complaint}")
    if check.status and check.status not in STATUSES:
        raise ApiError(400, bad_status)
    if check.script:
        raise ApiError(500, _SCRIPTS_DISABLED)


def check_complaint(check: CheckDefinition) -> str:
    """What is wrong with *check*, empty if nothing."""
    by_interval = bool(check.script or check.http or check.tcp or check.grpc)
    if check.interval and check.ttl:
        return "Interval and TTL cannot both be specified"
    if by_interval and check.interval <= 0:
        return "Interval must be > 0 for Script, HTTP, or TCP checks"
    if not by_interval and check.type != "alias" and check.ttl <= 0:
        return "TTL must be > 0 for TTL checks"
    return ""


def meta_complaint(meta: Mapping[str, str]) -> str:
    """What is wrong with a service's or node's metadata, empty if nothing."""
    if len(meta) > _META_PAIRS:
        return f"Node metadata cannot contain more than {_META_PAIRS} key/value pairs"
    for key, value in meta.items():
        if complaint := _meta_pair_complaint(key, value):
            return f"Couldn't load metadata pair ('{key}', '{value}'): {complaint}"
    return ""


def _meta_pair_complaint(key: str, value: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > _META_KEY_LENGTH:
        return f"Key is too long (limit: {_META_KEY_LENGTH} characters)"
    if key.startswith("consul-"):
        return "Key prefix 'consul-' is reserved for internal use"
    if len(value) > _META_VALUE_LENGTH:
        return f"Value is too long (limit: {_META_VALUE_LENGTH} characters)"
    return ""


def _weights_complaint(weights: Weights) -> str:
    if weights.passing < 1:
        return "Passing must be greater than 0"
    if weights.warning < 0:
        return "Warning must be greater or equal than 0"
    if weights.passing > _MAX_WEIGHT or weights.warning > _MAX_WEIGHT:
        return f"DNS Weight must be between 0 and {_MAX_WEIGHT}"
    return ""


def _proxy_complaints(service: ServiceRecord) -> list[str]:
    if service.kind != CONNECT_PROXY:
        return []
    complaints = []
    if not service.proxy.destination_service_name.strip():
        complaints.append("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
    if service.port == 0:
        complaints.append("Port must be set for a Connect proxy")
    if service.native:
        complaints.append("A Proxy cannot also be Connect Native, only typical services")
    return complaints + _upstream_complaints(service)


def _upstream_complaints(service: ServiceRecord) -> list[str]:
    complaints: list[str] = []
    names: set[tuple[str, str, str, str]] = set()
    binds: set[str] = set()
    for upstream in service.proxy.upstreams:
        problem = ""
        if upstream.destination_type not in _UPSTREAM_TYPES:
            problem = f'unknown upstream destination type: "{upstream.destination_type}"'
        elif not upstream.destination_name:
            problem = "upstream destination name cannot be empty"
        elif upstream.local_bind_port and upstream.local_bind_socket_path:
            problem = "only one of upstream local bind port or local socket path can be defined and nonzero"
        elif not upstream.local_bind_port and not upstream.local_bind_socket_path:
            problem = "upstream local bind port cannot be zero"
        if problem:
            complaints.append(problem)
            continue
        name = (
            upstream.destination_type,
            upstream.destination_name,
            upstream.destination_namespace,
            upstream.datacenter,
        )
        if name in names:
            complaints.append(
                'upstreams cannot contain duplicates of [type="{}", name="{}", namespace="{}", '
                'datacenter="{}"]'.format(*name)
            )
            continue
        names.add(name)
        path, port = upstream.local_bind_socket_path, upstream.local_bind_port
        bind = path or f"{upstream.local_bind_address or '127.0.0.1'}:{port}"
        if bind in binds:
            what = "local socket path" if path else "local bind address and port"
            complaints.append(f'upstreams cannot contain duplicates by {what}; "{bind}" is specified twice')
        binds.add(bind)
    return complaints


def _sidecar_complaints(sidecar: ServiceDefinition | None) -> list[str]:
    if sidecar is None:
        return []
    complaints = []
    if sidecar.has_id:
        complaints.append("A SidecarService cannot specify an ID as this is managed by the agent")
    if sidecar.sidecar is not None:
        complaints.append("A SidecarService cannot have a nested SidecarService")
    return complaints


def _check_sidecar(sidecar: ServiceDefinition) -> None:
    """Consul 1.8 reports these with status 500, though the text says "Bad request"."""
    if complaint := meta_complaint(sidecar.service.meta):
        raise ApiError(500, f"Bad request: Invalid SidecarService: {complaint}")
    for check in sidecar.checks:
        if complaint := check_complaint(check):
            raise ApiError(500, f"Bad request: Invalid check in sidecar_service: {complaint}")
