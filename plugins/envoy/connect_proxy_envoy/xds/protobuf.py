"""The edge to protobuf: proto-JSON becomes messages here, and nowhere else.

The generated messages of a type have to be imported before JSON that names the type can be parsed;
that is done when the type is first met, so that escape hatches may use any type that xds-protos knows.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final

from connect_proxy.errors import ConfigurationError, MissingDependencyError
from connect_proxy.mesh.immutable import thawed
from connect_proxy_envoy.resources.resource import Resource
from connect_proxy_envoy.xds.messages import DeltaRequest, DeltaResponse, StateRequest, StateResponse

INSTALL: Final = "pip install 'connect-proxy[envoy]'"

try:
    import grpc
    from envoy.service.discovery.v3 import discovery_pb2
    from google.protobuf import any_pb2, json_format
except ImportError as exc:
    _problem = f"serving xDS to Envoy needs packages that are not installed ({exc}): {INSTALL}"
    raise MissingDependencyError(_problem) from exc

grpc_module: Any = grpc


def pack(resource: Resource) -> Any:
    """The resource as ``google.protobuf.Any``. Raises ConfigurationError for JSON that is no such message.

    Our own resources always are; what a registration's escape hatch holds may not be.
    """
    message = any_pb2.Any()
    body = thawed(resource.body)
    for type_url in _types(body):
        _import_messages(type_url.rpartition("/")[2].rpartition(".")[0])
    try:
        json_format.ParseDict(body, message)
    except (json_format.ParseError, TypeError, KeyError) as exc:
        kind = body.get("@type")
        problem = f"{resource.name!r} is no valid {kind}: {exc}; correct it in the registration"
        raise ConfigurationError(problem) from exc
    return message


def delta_response(response: DeltaResponse, message_of: Callable[[Resource], Any]) -> Any:
    """``DeltaDiscoveryResponse``."""
    message = discovery_pb2.DeltaDiscoveryResponse(
        type_url=response.type_url, nonce=response.nonce, removed_resources=list(response.removed)
    )
    for resource in response.resources:
        message.resources.add(name=resource.name, version=resource.version, resource=message_of(resource))
    return message


def state_response(response: StateResponse, message_of: Callable[[Resource], Any]) -> Any:
    """``DiscoveryResponse``."""
    return discovery_pb2.DiscoveryResponse(
        type_url=response.type_url,
        nonce=response.nonce,
        version_info=response.version,
        resources=[message_of(resource) for resource in response.resources],
    )


def read_delta_request(message: Any) -> DeltaRequest:
    """From ``DeltaDiscoveryRequest``."""
    return DeltaRequest(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        nonce=message.response_nonce,
        error=_error(message),
        initial_versions=dict(message.initial_resource_versions),
    )


def read_state_request(message: Any) -> StateRequest:
    """From ``DiscoveryRequest``."""
    return StateRequest(
        type_url=message.type_url,
        names=tuple(message.resource_names),
        nonce=message.response_nonce,
        error=_error(message),
    )


def parse_delta_request(data: bytes) -> Any:
    """gRPC's deserializer."""
    return discovery_pb2.DeltaDiscoveryRequest.FromString(data)


def parse_state_request(data: bytes) -> Any:
    """gRPC's deserializer."""
    return discovery_pb2.DiscoveryRequest.FromString(data)


def _types(body: Any) -> Iterator[str]:
    """Every ``@type`` in *body*."""
    if isinstance(body, dict):
        if isinstance(type_url := body.get("@type"), str):
            yield type_url
        for item in body.values():
            yield from _types(item)
    elif isinstance(body, list):
        for item in body:
            yield from _types(item)


@cache
def _import_messages(package: str) -> None:
    """Import the generated modules of a protobuf package; an unknown one is left to the parser."""
    try:
        found = import_module(package)
    except (ImportError, ValueError):
        return
    for module in pkgutil.iter_modules(found.__path__):
        if module.name.endswith("_pb2"):
            import_module(f"{package}.{module.name}")


def _error(message: Any) -> str:
    if not message.HasField("error_detail"):
        return ""
    return str(message.error_detail.message) or f"code {message.error_detail.code}"
