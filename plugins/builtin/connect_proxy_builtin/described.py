"""The proxy that ``-service``, ``-listen`` and ``-upstream`` describe, as with ``consul connect proxy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from connect_proxy.errors import UsageError
from connect_proxy.mesh.registration import PREPARED_QUERY, SERVICE, Registration, Upstream
from connect_proxy.plugin_api import DescribedRegistration, Setting, Sourced, Type

OPTIONS: Final = (
    Setting(
        name="service",
        help="Name of the service to stand for, without a registration in Consul.",
        metavar="NAME",
    ),
    Setting(
        name="service-addr",
        help="Address of the local application, for -listen.",
        metavar="HOST:PORT",
    ),
    Setting(
        name="listen",
        help="Address of the public listener; without it only upstreams are served.",
        metavar="[HOST]:PORT",
    ),
    Setting(
        name="upstream",
        type=Type.STRINGS,
        default=(),
        help="A dependency and its local port: name[.service|.query]:[addr:]port. May be repeated.",
        metavar="UPSTREAM",
    ),
    Setting(
        name="register",
        type=Type.BOOLEAN,
        default=False,
        help="Register this proxy in Consul while it runs; needs -service and -listen.",
    ),
    Setting(name="register-id", help="Suffix of the registered id, to tell several apart.", metavar="ID"),
)
_TYPES: Final = {"service": SERVICE, "query": PREPARED_QUERY}


def described_registration(options: Mapping[str, Sourced]) -> DescribedRegistration | None:
    """What the options describe; None without ``-service``. Raises UsageError for what does not fit."""
    service, listen, address = (str(options[name].value) for name in ("service", "listen", "service-addr"))
    register, suffix = bool(options["register"].value), str(options["register-id"].value)
    if not service:
        given = [name for name in ("listen", "service-addr", "upstream", "register") if options[name].value]
        if not given:
            return None
        message = f"-{given[0]} describes a proxy whose service is not named; give -service NAME"
        raise UsageError(message)
    if listen and not address:
        message = f'-listen "{listen}" needs the application behind it; give -service-addr HOST:PORT'
        raise UsageError(message)
    if register and not listen:
        message = "-register needs a public listener; give -listen [HOST]:PORT"
        raise UsageError(message)
    host, port = _endpoint("listen", listen) if listen else ("", 0)
    local_host, local_port = _endpoint("service-addr", address) if address else ("127.0.0.1", 0)
    identifier = f"{service}-proxy-{suffix}" if suffix else f"{service}-proxy"
    registration = Registration(
        id=identifier,
        name=f"{service}-proxy",
        address=host,
        port=port,
        destination_service_name=service,
        local_service_address=local_host or "127.0.0.1",
        local_service_port=local_port,
        upstreams=upstreams(cast("Sequence[str]", options["upstream"].value)),
    )
    return DescribedRegistration(
        registration=registration, definition=_definition(registration) if register else None
    )


def upstreams(texts: Sequence[str]) -> tuple[Upstream, ...]:
    """Parsed and sorted by name; of one name the last counts, as in Consul. Raises UsageError."""
    found = {upstream.id: upstream for upstream in map(_upstream, texts)}
    return tuple(found[key] for key in sorted(found))


def _upstream(text: str) -> Upstream:
    name, colon, where = text.partition(":")
    if not name or not colon or not where:
        message = f'-upstream is "{text}": not name:[addr:]port, such as db:9191 or db.query:127.0.0.1:9191'
        raise UsageError(message)
    base, dot, kind = name.rpartition(".")
    if dot and kind not in _TYPES:
        message = f'-upstream is "{text}": "{kind}" is no kind of upstream; write .service or .query'
        raise UsageError(message)
    host, port = _endpoint("upstream", where if ":" in where else f":{where}", shown=text)
    return Upstream(
        destination_name=base or name,
        destination_type=_TYPES[kind] if dot else SERVICE,
        local_bind_address=host,
        local_bind_port=port,
    )


def _endpoint(flag: str, text: str, *, shown: str = "") -> tuple[str, int]:
    """Host (may be empty) and port of ``[HOST]:PORT``; IPv6 in brackets; the port as Go reads it."""
    host, colon, port_text = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    try:
        port = int(port_text, 0)
    except ValueError:
        port = 0
    if not colon or not 0 < port < 65536:
        message = f'-{flag} is "{shown or text}": not [HOST]:PORT with a port from 1 to 65535'
        raise UsageError(message)
    return host, port


def _definition(registration: Registration) -> dict[str, Any]:
    """What Consul is told of it."""
    return {
        "ID": registration.id,
        "Name": registration.name,
        "Kind": registration.kind,
        "Address": registration.address,
        "Port": registration.port,
        "Proxy": {
            "DestinationServiceName": registration.destination_service_name,
            "LocalServiceAddress": registration.local_service_address,
            "LocalServicePort": registration.local_service_port,
        },
    }
