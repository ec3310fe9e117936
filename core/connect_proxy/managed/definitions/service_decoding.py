"""``service { … }`` to :class:`ServiceDefinition`. Pure.

What belongs to this agent (``connect.proxy``, a sidecar's ``backend`` and ``command``, tokens) is
taken out; the rest becomes the body that Consul's API takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.managed.definitions import service_keys
from connect_proxy.managed.definitions.configuration import ProxyStanza, ServiceDefinition
from connect_proxy.managed.definitions.document import Field, Table
from connect_proxy.managed.definitions.reading import (
    MISSING,
    Keys,
    Reading,
    boolean,
    opaque,
    single_table,
    text,
)
from connect_proxy.managed.definitions.service_keys import (
    SERVICE_KINDS,
    UPSTREAMS,
    command,
    exec_mode,
    field_of,
    refused,
)
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.registration import CONNECT_PROXY, SERVICE, Upstream
from connect_proxy.secret import NO_SECRET
from connect_proxy.settings.suggestion import suggestion

KINDS: Final = (
    CONNECT_PROXY,
    "mesh-gateway",
    "terminating-gateway",
    "ingress-gateway",
    "api-gateway",
)
"""``kind`` of a service, as Consul knows them; 1.8 takes any other for a common service, unsaid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Config:
    """An opaque ``config``, and the upstreams that Consul 1.2 had in it."""

    values: Mapping[str, Any]
    upstreams: Sequence[Mapping[str, Any]] = ()


def _config(reading: Reading, found: Field, path: str) -> Any:
    values = opaque(reading, found, path)
    if values is MISSING:
        return MISSING
    table = single_table(reading, found, path)
    inner = field_of(table, "upstreams") if isinstance(table, Table) else None
    if inner is None:
        return _Config(values=values)
    upstreams = UPSTREAMS(reading, inner, f"{path}.upstreams")
    return _Config(values=values, upstreams=() if upstreams is MISSING else upstreams)


_STANZA: Final = Keys(
    {"exec_mode": exec_mode, "command": command, "backend": text, "config": _config, "upstreams": UPSTREAMS}
)


def stanza(reading: Reading, found: Field, path: str) -> Any:
    """``connect { proxy { … } }``."""
    values = _STANZA(reading, found, path)
    if values is MISSING or not program_is_one(reading, found, path, values):
        return MISSING
    config: _Config = values.get("Config", _Config(values={}))
    return ProxyStanza(
        backend=values.get("Backend", ""),
        command=tuple(values.get("Command", ())),
        config=frozen(config.values),
        upstreams=tuple(map(upstream_value, [*values.get("Upstreams", ()), *config.upstreams])),
    )


def program_is_one(reading: Reading, found: Field, path: str, values: Mapping[str, Any]) -> bool:
    """Whether not both a command and a backend are named; both are a problem."""
    if not (values.get("Command") and values.get("Backend")):
        return True
    message = (
        f'"{path}" has the command {json.dumps(values["Command"])} and the backend "{values["Backend"]}";'
        " keep one: a command is run by custom_exec"
    )
    reading.problem(found.place, message)
    return False


_SIDECAR: Final = Keys(
    SERVICE_KINDS
    | {
        "kind": text,
        "backend": text,
        "command": command,
        "exec_mode": exec_mode,
        "id": refused("leave it out; a sidecar's id is that of its service with -sidecar-proxy"),
        "connect": refused("a sidecar has no proxy of its own; leave it out"),
    }
)


def _sidecar(reading: Reading, found: Field, path: str) -> Any:
    values = _SIDECAR(reading, found, path)
    return values if values is MISSING or program_is_one(reading, found, path, values) else MISSING


_SERVICE: Final = Keys(
    SERVICE_KINDS
    | {
        "id": text,
        "kind": text,
        "proxy_destination": text,
        "connect": Keys({"native": boolean, "proxy": stanza, "sidecar_service": _sidecar}),
    }
)

KEYS: Final = {
    "service": _SERVICE.names,
    "connect.proxy": _STANZA.names,
    "sidecar_service": _SIDECAR.names,
    **service_keys.KEYS,
}


def service(reading: Reading, found: Field, path: str) -> Any:
    """As a kind: one service, MISSING where it cannot be told what it is."""
    values = _SERVICE(reading, found, path)
    if values is MISSING:
        return MISSING
    name = values.get("Name", "")
    if not name:
        reading.problem(found.place, f'"{path}" has no name; every service needs one')
        return MISSING
    connect = values.pop("Connect", {})
    managed: ProxyStanza | None = connect.pop("Proxy", None)
    if managed is not None and connect.get("Native"):
        reading.problem(
            found.place, f'"{path}": a service that is native to Connect has no proxy; keep one'
        )
    _unmanaged(reading, found, path, values, managed)
    sidecar = connect.get("SidecarService")
    body = _body(values) | {"ID": values.get("ID") or name}
    token = body.pop("Token", NO_SECRET)
    sidecar_token, sidecar_stanza = NO_SECRET, None
    if sidecar is not None:
        sidecar_stanza = _sidecar_stanza(sidecar)
        connect["SidecarService"] = _body(sidecar)
        sidecar_token = connect["SidecarService"].pop("Token", NO_SECRET)
    if connect:
        body["Connect"] = connect
    return ServiceDefinition(
        id=body["ID"],
        name=name,
        origin=reading.origin(found.place),
        body=frozen(body),
        token=token,
        sidecar_token=sidecar_token,
        port=values.get("Port", 0),
        proxy=managed,
        sidecar=sidecar_stanza,
    )


def _unmanaged(
    reading: Reading, found: Field, path: str, values: dict[str, Any], managed: ProxyStanza | None
) -> None:
    """Translate the ``proxy_destination`` of Consul 1.2, and see that a proxy says for whom and where."""
    older = values.pop("ProxyDestination", "")
    if (kind := values.get("Kind", "")) and kind not in KINDS:
        near = suggestion(kind, KINDS)
        hint = f'; did you mean "{near}"?' if near else f" ({', '.join(KINDS)})"
        reading.warning(found.place, f'"{path}.kind" is "{kind}", which no Consul knows{hint}')
    if kind != CONNECT_PROXY:
        if older:
            reading.problem(
                found.place, f'"{path}" has a proxy_destination: give kind = "{CONNECT_PROXY}" too'
            )
        elif "Proxy" in values and not kind:
            reading.warning(
                found.place,
                f'"{path}.proxy" describes a proxy of kind "{CONNECT_PROXY}", which this service is not;'
                " for a managed proxy write connect { proxy { … } }",
            )
        return
    proxy = values.setdefault("Proxy", {})
    if older and proxy.setdefault("DestinationServiceName", older) != older:
        named = proxy["DestinationServiceName"]
        reading.problem(
            found.place, f'"{path}" stands for "{named}" and, by proxy_destination, for "{older}"; keep one'
        )
    if not proxy.get("DestinationServiceName"):
        reading.problem(
            found.place, f'"{path}" does not say for whom: give proxy {{ destination_service_name = "…" }}'
        )
    if not values.get("Port"):
        reading.problem(found.place, f'"{path}" has no port; others find a proxy by its port')
    if managed is not None:
        reading.problem(found.place, f'"{path}" is a proxy itself; it has no connect.proxy')


def _sidecar_stanza(values: Mapping[str, Any]) -> ProxyStanza | None:
    """How to run that sidecar; None where the file does not ask for it."""
    if not (values.get("Backend") or values.get("Command")):
        return None
    proxy = values.get("Proxy", {})
    return ProxyStanza(
        backend=values.get("Backend", ""),
        command=tuple(values.get("Command", ())),
        config=frozen(proxy.get("Config", {})),
        upstreams=tuple(map(upstream_value, proxy.get("Upstreams", ()))),
    )


def _body(values: Mapping[str, Any]) -> dict[str, Any]:
    """For the API: without what only this agent knows; both spellings of checks in one list."""
    left_out = {"Backend", "Command", "ExecMode", "Check"}
    body = {key: value for key, value in values.items() if key not in left_out}
    if "Check" in values:
        body["Checks"] = [values["Check"], *values.get("Checks", ())]
    return body


def upstream_value(body: Mapping[str, Any]) -> Upstream:
    """An upstream of the API's spelling as a value."""
    return Upstream(
        destination_name=body["DestinationName"],
        destination_type=body.get("DestinationType", SERVICE),
        destination_namespace=body.get("DestinationNamespace", "default"),
        datacenter=body.get("Datacenter", ""),
        local_bind_address=body.get("LocalBindAddress", ""),
        local_bind_port=body.get("LocalBindPort", 0),
        local_bind_socket_path=body.get("LocalBindSocketPath", ""),
        local_bind_socket_mode=body.get("LocalBindSocketMode", ""),
        config=frozen(body.get("Config", {})),
    )
