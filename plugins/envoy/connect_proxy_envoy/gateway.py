"""The gateways of ``consul connect envoy``: what ``-gateway`` and ``-register`` mean."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Final

from connect_proxy.errors import UsageError
from connect_proxy.plugin_api import Sourced, WantedGateway
from connect_proxy_envoy.address import SocketAddress

KINDS: Final = {
    "api": "api-gateway",
    "ingress": "ingress-gateway",
    "mesh": "mesh-gateway",
    "terminating": "terminating-gateway",
}
DEFAULT_PORT: Final = 8443
_NO_DEFAULT_BIND: Final = "envoy_gateway_no_default_bind"


def wanted_gateway(options: Mapping[str, Sourced]) -> WantedGateway | None:
    """The gateway that is meant; None for a sidecar. Raises UsageError for what does not fit."""
    kind = gateway_kind(options)
    register = bool(options["register"].value)
    if options["expose-servers"].value and not (kind == KINDS["mesh"] and register):
        message = "-expose-servers is for a mesh gateway that is registered; add -gateway mesh -register"
        raise UsageError(message)
    if not kind:
        if register:
            message = "-register is for gateways; say which with -gateway"
            raise UsageError(message)
        return None
    return WantedGateway(kind=kind, definition=_definition(kind, options) if register else None)


def gateway_kind(options: Mapping[str, Sourced]) -> str:
    """Consul's word for the kind; empty for a sidecar. Raises UsageError."""
    short, old = str(options["gateway"].value or ""), bool(options["mesh-gateway"].value)
    if short and old:
        message = "-mesh-gateway is the old spelling of -gateway mesh; give -gateway alone"
        raise UsageError(message)
    if old:
        short = "mesh"
    if short and short not in KINDS:
        message = f"-gateway {short!r} is none; give one of {', '.join(sorted(KINDS))}"
        raise UsageError(message)
    return KINDS[short] if short else ""


def ready_address(options: Mapping[str, Sourced]) -> SocketAddress | None:
    """Where an ingress gateway answers ``/ready``: at its LAN address. None for all others."""
    if gateway_kind(options) != KINDS["ingress"]:
        return None
    lan = _address(options, "address")
    return SocketAddress(host=lan.host or "127.0.0.1", port=lan.port)


def _definition(kind: str, options: Mapping[str, Sourced]) -> dict[str, Any]:
    """Body of ``PUT /v1/agent/service/register``, as Consul's own command writes it."""
    name = str(options["service"].value or kind)
    lan, wan = _address(options, "address"), _address(options, "wan-address")
    definition: dict[str, Any] = {
        "Kind": kind,
        "Name": name,
        "ID": name,
        "Address": lan.host,
        "Port": lan.port,
    }
    if tagged := {tag: _written(one) for tag, one in (("lan", lan), ("wan", wan)) if one.host}:
        definition["TaggedAddresses"] = tagged
    if options["expose-servers"].value:
        definition["Meta"] = {"consul-wan-federation": "1"}
    if config := _bindings(options, lan, wan):
        definition["Proxy"] = {"Config": config}
    if kind != KINDS["api"]:
        definition["Check"] = {
            "Name": f"{kind} listening",
            "TCP": str(SocketAddress(host=lan.host or "127.0.0.1", port=lan.port)),
            "Interval": "10s",
            "DeregisterCriticalServiceAfter": str(options["deregister-after-critical"].value),
        }
    return definition


def _bindings(options: Mapping[str, Sourced], lan: SocketAddress, wan: SocketAddress) -> dict[str, Any]:
    """What it is to listen on: the addresses given, else the registered ones if they are this host's."""
    given = options["bind-address"].value
    if isinstance(given, list | tuple) and given:
        named = dict(_bind_address(str(text)) for text in given)
        return {_NO_DEFAULT_BIND: True, "envoy_gateway_bind_addresses": named}
    if _is_of_this_host(lan) and _is_of_this_host(wan):
        return {_NO_DEFAULT_BIND: True, "envoy_gateway_bind_tagged_addresses": True}
    if lan.host and not _is_of_this_host(lan):
        message = (
            f"-address {lan.host!r} is no address of this host, so the gateway could not listen there; "
            "give one that is, or say where to listen with -bind-address"
        )
        raise UsageError(message)
    return {}


def _bind_address(text: str) -> tuple[str, dict[str, Any]]:
    name, separator, address = text.partition("=")
    if not separator:
        message = f"-bind-address {text!r} lacks a name; write it as NAME=IP:PORT"
        raise UsageError(message)
    return name, _written(_parsed(address, "-bind-address"))


def _address(options: Mapping[str, Sourced], name: str) -> SocketAddress:
    return _parsed(str(options[name].value), f"-{name}")


def _parsed(text: str, flag: str) -> SocketAddress:
    """``IP:port``, ``IP:``, ``IP`` or ``:port``, also as a template; the port is 8443 if not given."""
    if "{{" in text:
        text = _evaluated(text, flag)
    if _is_ip(bare := text.strip("[]")):
        return SocketAddress(host=bare, port=DEFAULT_PORT)
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = DEFAULT_PORT if not port else int(port) if port.isascii() and port.isdigit() else -1
    if not separator or not 0 <= number < 65536 or (host and not _is_ip(host)):
        message = f"{flag} {text!r} is no address; write it as IP:PORT, [IPv6]:PORT or :PORT"
        raise UsageError(message)
    return SocketAddress(host=host, port=number)


def _evaluated(template: str, flag: str) -> str:
    """What an address template stands for on this host."""
    # Few need it: imported by those alone.
    from connect_proxy_envoy.sockaddr.filters import TemplateError
    from connect_proxy_envoy.sockaddr.interfaces import host_addresses
    from connect_proxy_envoy.sockaddr.template import rendered

    try:
        return rendered(template, host_addresses())
    except TemplateError as exc:
        message = f"{flag}: the template {template!r} {exc}; correct it, or give the IP address itself"
        raise UsageError(message) from exc


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_of_this_host(address: SocketAddress) -> bool:
    """Whether a socket can be bound to it; the port does not matter."""
    if not address.host:
        return False
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address.host, 0))
    except OSError:
        return False
    return True


def _written(address: SocketAddress) -> dict[str, Any]:
    return {"Address": address.host, "Port": address.port}
