"""The keys of service and check definitions: data, and what a single value has to be. Pure.

Source: the reference of Consul's service and check configuration; Consul 1.2 to 1.5 for
``connect.proxy``, ``proxy_destination`` and an upstream's ``destination_datacenter``.
"""

from __future__ import annotations

from typing import Any, Final

from connect_proxy.managed.definitions.document import Field, Table
from connect_proxy.managed.definitions.reading import (
    MISSING,
    Keys,
    Kind,
    Reading,
    boolean,
    canonical,
    duration,
    integer,
    list_of,
    map_of,
    only,
    opaque,
    text,
)
from connect_proxy.mesh.registration import PREPARED_QUERY, SERVICE
from connect_proxy.secret import Secret

DAEMON: Final = "daemon"
"""The one way to run a managed proxy, ``exec_mode``."""


def secret(reading: Reading, found: Field, path: str) -> Any:
    """An ACL token; a wrong value is not shown."""
    value = only(found.value)
    if not isinstance(value, str):
        reading.problem(found.place, f'"{path}" is no string; give an ACL token in quotes')
        return MISSING
    return Secret(value)


def refused(why: str) -> Kind:
    """A key that must not stand here."""

    def refuse(reading: Reading, found: Field, path: str) -> Any:
        reading.problem(found.place, f'"{path}": {why}')
        return MISSING

    return refuse


def exec_mode(reading: Reading, found: Field, path: str) -> Any:
    """``daemon``; whatever else Consul 1.2 had a word for never worked."""
    mode = text(reading, found, path)
    if mode is MISSING or mode in {"", DAEMON}:
        return mode
    reading.problem(found.place, f'"{path}" is "{mode}"; the only one is "{DAEMON}": leave it out')
    return MISSING


def command(reading: Reading, found: Field, path: str) -> Any:
    """A program and its arguments; there is no shell that could split a string."""
    if isinstance(found.value, str):
        reading.problem(
            found.place,
            f'"{path}" is the string "{found.value}"; give a list: ["/usr/bin/my-proxy", "-flag"]',
        )
        return MISSING
    words = list_of(text)(reading, found, path)
    if words is MISSING or (words and words[0]):
        return words
    reading.problem(found.place, f'"{path}" is {words}: no program; give one, or leave the key out')
    return MISSING


def choice(*accepted: str) -> Kind:
    """One of some words."""

    def choose(reading: Reading, found: Field, path: str) -> Any:
        word = text(reading, found, path)
        if word is MISSING or word in accepted:
            return word
        reading.problem(found.place, f'"{path}" is "{word}"; use {" or ".join(accepted)}')
        return MISSING

    return choose


_MESH_GATEWAY: Final = Keys({"mode": text})
_UPSTREAM: Final = Keys(
    {
        "destination_name": text,
        "destination_type": choice(SERVICE, PREPARED_QUERY),
        "destination_namespace": text,
        "destination_partition": text,
        "destination_peer": text,
        "destination_datacenter": text,
        "datacenter": text,
        "local_bind_address": text,
        "local_bind_port": integer,
        "local_bind_socket_path": text,
        "local_bind_socket_mode": text,
        "connect_timeout_ms": integer,
        "config": opaque,
        "mesh_gateway": _MESH_GATEWAY,
    }
)


def upstream(reading: Reading, found: Field, path: str) -> Any:
    """One upstream as ``Proxy.Upstreams[]`` of Consul's API has it."""
    values = _UPSTREAM(reading, found, path)
    if values is MISSING:
        return MISSING
    if not values.get("DestinationName"):
        reading.problem(found.place, f'"{path}" has no destination_name; name the service it leads to')
        return MISSING
    older = values.pop("DestinationDatacenter", "")
    if older and values.setdefault("Datacenter", older) != older:
        reading.problem(
            found.place,
            f'"{path}" has datacenter "{values["Datacenter"]}" and destination_datacenter "{older}";'
            " keep one",
        )
    if "ConnectTimeoutMs" in values:
        timeout = values.pop("ConnectTimeoutMs")
        values["Config"] = {"connect_timeout_ms": timeout, **values.get("Config", {})}
    return values


UPSTREAMS: Final = list_of(upstream)

_CHECK: Final = Keys(
    {
        "id": text,
        "check_id": text,
        "name": text,
        "notes": text,
        "status": text,
        "service_id": text,
        "token": secret,
        "args": list_of(text),
        "script_args": list_of(text),
        "shell": text,
        "docker_container_id": text,
        "tcp": text,
        "tcp_use_tls": boolean,
        "udp": text,
        "http": text,
        "method": text,
        "body": text,
        "header": map_of(list_of(text)),
        "disable_redirects": boolean,
        "tls_server_name": text,
        "tls_skip_verify": boolean,
        "h2ping": text,
        "h2ping_use_tls": boolean,
        "grpc": text,
        "grpc_use_tls": boolean,
        "os_service": text,
        "alias_node": text,
        "alias_service": text,
        "ttl": duration,
        "interval": duration,
        "timeout": duration,
        "deregister_critical_service_after": duration,
        "success_before_passing": integer,
        "failures_before_warning": integer,
        "failures_before_critical": integer,
        "output_max_size": integer,
    },
    camel={"id": "CheckID", "script_args": "Args", "h2ping_use_tls": "H2PingUseTLS"},
)


def agent_check(reading: Reading, found: Field, path: str) -> Any:
    """A check outside of a service, as ``PUT /v1/agent/check/register`` takes it, its Token a Secret."""
    values = _CHECK(reading, found, path)
    if values is MISSING:
        return MISSING
    if "CheckID" in values:
        values["ID"] = values.pop("CheckID")
    if not values.get("Name"):
        reading.problem(found.place, f'"{path}" has no name; a check outside of a service needs one')
    return values


def service_check(reading: Reading, found: Field, path: str) -> Any:
    """A check inside of a service."""
    values = _CHECK(reading, found, path)
    if values is not MISSING and values.pop("Token", None):
        reading.warning(found.place, f'"{path}.token" is left aside: the service\'s own token counts')
    return values


_EXPOSE: Final = Keys(
    {
        "checks": boolean,
        "paths": list_of(
            Keys({"listener_port": integer, "path": text, "local_path_port": integer, "protocol": text})
        ),
    }
)
_PROXY: Final = Keys(
    {
        "destination_service_name": text,
        "destination_service_id": text,
        "local_service_address": text,
        "local_service_port": integer,
        "local_service_socket_path": text,
        "mode": text,
        "transparent_proxy": Keys({"outbound_listener_port": integer, "dialed_directly": boolean}),
        "config": opaque,
        "upstreams": UPSTREAMS,
        "mesh_gateway": _MESH_GATEWAY,
        "expose": _EXPOSE,
    }
)
KEYS: Final = {"check": _CHECK.names, "proxy": _PROXY.names, "upstream": _UPSTREAM.names}
SERVICE_KINDS: Final[dict[str, Kind]] = {
    "name": text,
    "tags": list_of(text),
    "address": text,
    "socket_path": text,
    "tagged_addresses": map_of(Keys({"address": text, "port": integer})),
    "meta": map_of(text),
    "port": integer,
    "check": service_check,
    "checks": list_of(service_check),
    "weights": Keys({"passing": integer, "warning": integer}),
    "token": secret,
    "enable_tag_override": boolean,
    "proxy": _PROXY,
    "namespace": text,
    "partition": text,
}
"""What a service and a ``sidecar_service`` have in common."""


def field_of(table: Table, name: str) -> Field | None:
    """What stands behind the key *name*, however it is spelled."""
    return next((found for key, found in table.fields.items() if canonical(key) == canonical(name)), None)
