"""The agent's JSON as values of the mesh. Pure.

Each function takes decoded JSON and the endpoint it came from (``GET /v1/…``, for messages).
Shapes: Consul's HTTP API 1.3 to 1.22, as seen on 1.8.7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from connect_proxy.consul.fields import Fields, Place, sections
from connect_proxy.consul.intention_answers import DEFAULT, intention
from connect_proxy.consul.replies import AclToken, Authorization
from connect_proxy.errors import AgentAnswerError
from connect_proxy.mesh.certificates import Leaf, Root, Roots
from connect_proxy.mesh.endpoints import Endpoint
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.intentions import Intention, by_precedence
from connect_proxy.mesh.registration import CONNECT_PROXY, SERVICE, Registration, Upstream
from connect_proxy.secret import NO_SECRET, Secret

TYPICAL: Final = ""
"""The kind of a service that is no proxy and no gateway."""
HIDDEN_SECRET: Final = "<hidden>"  # noqa: S105 - what Consul shows in the place of one


def decode(body: bytes, *, endpoint: str) -> Any:
    """The JSON value in *body*. Raises AgentAnswerError if there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        # Not even an excerpt: a leaf's answer cut in two would show its private key.
        message = (
            f"the answer to {endpoint} is not JSON ({_length(body)}, {_reason(exc)}): "
            "check that the address is that of a Consul agent"
        )
        raise AgentAnswerError(message) from None


def _length(body: bytes) -> str:
    return "1 byte" if len(body) == 1 else f"{len(body)} bytes"


def _reason(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at byte {exc.pos}"
    return "nested too deep" if isinstance(exc, RecursionError) else "no text"


# ---------------------------------------------------------------- registration


def registration(value: Any, *, endpoint: str) -> Registration:
    """``agent/service/:id``."""
    return _registration(Fields(value, Place(endpoint)))


def registrations(value: Any, *, endpoint: str) -> Mapping[str, Registration]:
    """``agent/services``: an object of services by id."""
    services = Fields(value, Place(endpoint))
    return MappingProxyType(
        {
            service_id: _registration(Fields(item, services.place.key(service_id)))
            for service_id, item in services.by_name.items()
        }
    )


def node_services(value: Any, *, endpoint: str) -> tuple[Registration, ...] | None:
    """``catalog/node-services/:node``; None for a node that is not there.

    The datacenter stands with the node only.
    """
    fields = Fields(value, Place(endpoint))
    if not fields.has("Node"):
        return None
    datacenter = fields.section("Node").text("Datacenter")
    found = (_registration(service) for service in fields.sections("Services"))
    return tuple(replace(one, datacenter=one.datacenter or datacenter) for one in found)


def _registration(fields: Fields) -> Registration:
    proxy = fields.section("Proxy")
    return Registration(
        id=fields.text("ID"),
        name=fields.text("Service"),
        kind=fields.text("Kind"),
        address=fields.text("Address"),
        port=fields.number("Port"),
        namespace=fields.text("Namespace", DEFAULT),
        partition=fields.text("Partition", DEFAULT),
        datacenter=fields.text("Datacenter"),
        tags=fields.texts("Tags"),
        meta=fields.opaque("Meta"),
        # Consul 1.3 .. 1.5 may still have the older spelling of 1.2 beside Proxy.
        destination_service_name=proxy.text("DestinationServiceName", fields.text("ProxyDestination")),
        destination_service_id=proxy.text("DestinationServiceID"),
        local_service_address=proxy.text("LocalServiceAddress", "127.0.0.1"),
        local_service_port=proxy.number("LocalServicePort"),
        local_service_socket_path=proxy.text("LocalServiceSocketPath"),
        config=proxy.opaque("Config"),
        upstreams=tuple(_upstream(item) for item in proxy.sections("Upstreams")),
        expose=proxy.opaque("Expose"),
        content_hash=fields.text("ContentHash"),
    )


def _upstream(fields: Fields) -> Upstream:
    return Upstream(
        destination_name=fields.text("DestinationName"),
        destination_type=fields.text("DestinationType", SERVICE),
        destination_namespace=fields.text("DestinationNamespace", DEFAULT),
        datacenter=fields.text("Datacenter"),
        local_bind_address=fields.text("LocalBindAddress"),
        local_bind_port=fields.number("LocalBindPort"),
        local_bind_socket_path=fields.text("LocalBindSocketPath"),
        local_bind_socket_mode=fields.text("LocalBindSocketMode"),
        config=fields.opaque("Config"),
    )


# ---------------------------------------------------------------- certificates


def roots(value: Any, *, endpoint: str) -> Roots:
    """``agent/connect/ca/roots``.

    A server that has just started may answer before its CA has: without a trust domain or a
    certificate. Taken for the truth, that would void every certificate and every rule on callers.
    """
    fields = Fields(value, Place(endpoint))
    found = Roots(
        trust_domain=fields.text("TrustDomain").lower(),
        active_root_id=fields.text("ActiveRootID"),
        roots=tuple(_root(item) for item in fields.sections("Roots")),
    )
    if not found.trust_domain or not found.roots or not all(root.pem for root in found.roots):
        message = (
            f"the answer to {endpoint} has no certificate authority: it is not ready yet, "
            "or Connect is not enabled (connect.enabled) in the agent's configuration"
        )
        raise AgentAnswerError(message)
    return found


def _root(fields: Fields) -> Root:
    certificates = (fields.text("RootCert"), *fields.texts("IntermediateCerts"))
    return Root(
        id=fields.text("ID"),
        name=fields.text("Name"),
        pem="".join(pem if pem.endswith("\n") else f"{pem}\n" for pem in certificates if pem),
        active=fields.flag("Active"),
    )


def leaf(value: Any, *, endpoint: str) -> Leaf:
    """``agent/connect/ca/leaf/:service``."""
    fields = Fields(value, Place(endpoint))
    for name in ("CertPEM", "PrivateKeyPEM"):
        if not fields.has(name):
            fields.place.key(name).refuse(None, "a PEM text")
    return Leaf(
        service=fields.text("Service"),
        uri=fields.text("ServiceURI"),
        serial=fields.text("SerialNumber"),
        certificate_pem=fields.text("CertPEM"),
        private_key=Secret(fields.text("PrivateKeyPEM")),
        valid_after=fields.moment("ValidAfter"),
        valid_before=fields.moment("ValidBefore"),
    )


# ---------------------------------------------------------------- intentions


def authorization(value: Any, *, endpoint: str) -> Authorization:
    """``agent/connect/authorize``."""
    fields = Fields(value, Place(endpoint))
    return Authorization(authorized=fields.flag("Authorized"), reason=fields.text("Reason"))


def intentions(value: Any, *, endpoint: str) -> tuple[Intention, ...]:
    """``connect/intentions``: a list."""
    return by_precedence(intention(item) for item in sections(value, Place(endpoint)))


def matched_intentions(value: Any, destination: str, *, endpoint: str) -> tuple[Intention, ...]:
    """``connect/intentions/match``: an object of lists, keyed by the name that was asked for."""
    fields = Fields(value, Place(endpoint))
    found = sections(fields.by_name.get(destination), fields.place.key(destination))
    return by_precedence(intention(item) for item in found)


# ---------------------------------------------------------------- endpoints


def instances(value: Any, service: str, *, endpoint: str) -> tuple[Endpoint, ...]:
    """``health/connect/:service``: a list, in a stable order (Consul shuffles it on each answer)."""
    found = [_endpoint(item, service) for item in sections(value, Place(endpoint))]
    return tuple(sorted(found, key=lambda one: (one.node, one.service_id, one.address, one.port)))


def query_result(value: Any, *, endpoint: str) -> tuple[Endpoint, ...]:
    """``query/:name/execute``: its order is Consul's preference and is kept."""
    fields = Fields(value, Place(endpoint))
    service = fields.text("Service")
    return tuple(_endpoint(item, service) for item in fields.sections("Nodes"))


def _endpoint(fields: Fields, asked_for: str) -> Endpoint:
    node, service = fields.section("Node"), fields.section("Service")
    statuses = {check.text("Status") for check in fields.sections("Checks")}
    weights = service.section("Weights")
    return Endpoint(
        node=node.text("Node"),
        service_id=service.text("ID"),
        address=service.text("Address", node.text("Address")),
        port=service.number("Port"),
        datacenter=node.text("Datacenter"),
        destination_service=_identity(service, asked_for),
        namespace=service.text("Namespace", DEFAULT),
        weight=weights.number("Warning" if "warning" in statuses else "Passing", 1),
        passing="critical" not in statuses,
    )


def _identity(service: Fields, asked_for: str) -> str:
    """Whose certificate answers at this instance.

    A proxy's shows the service it stands for, a native service's its own name. A terminating
    gateway shows the certificate of whichever service it was asked for.
    """
    kind = service.text("Kind")
    if kind == CONNECT_PROXY:
        proxied = service.section("Proxy").text("DestinationServiceName")
        return proxied or service.text("ProxyDestination", asked_for)
    return service.text("Service", asked_for) if kind == TYPICAL else asked_for


def acl_token(value: Any, *, endpoint: str) -> AclToken:
    """``acl/token``: of PUT and GET alike."""
    fields = Fields(value, Place(endpoint))
    if not fields.has("AccessorID"):
        fields.place.key("AccessorID").refuse(None, "a text")
    secret = fields.text("SecretID")
    return AclToken(
        accessor=fields.text("AccessorID"), secret=NO_SECRET if secret == HIDDEN_SECRET else Secret(secret)
    )


def json_object(value: Any, *, endpoint: str) -> Mapping[str, Any]:
    """An object whose content is not ours to read, deeply read-only."""
    whole: Mapping[str, Any] = frozen(Fields(value, Place(endpoint)).by_name)
    return whole


def text(value: Any, *, endpoint: str) -> str:
    """A bare JSON text (``status/leader``)."""
    if not isinstance(value, str):
        Place(endpoint).refuse(value, "a text")
    return value
