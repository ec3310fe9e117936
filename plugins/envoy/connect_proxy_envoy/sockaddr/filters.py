"""What stands behind a ``|`` of an address template: selecting, ordering, and making a text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from connect_proxy_envoy.sockaddr.interfaces import InterfaceAddress
from connect_proxy_envoy.sockaddr.networks import RFC_NETWORKS, is_forwardable, is_inside

Addresses = tuple[InterfaceAddress, ...]


class TemplateError(ValueError):
    """The template is at fault; the message goes on from "the template …"."""


_FLAGS: Final[Mapping[str, Callable[[InterfaceAddress], bool]]] = {
    "up": lambda address: address.is_up,
    "down": lambda address: not address.is_up,
    "loopback": lambda address: address.ip.ip.is_loopback,
    "forwardable": lambda address: is_forwardable(address.ip.ip),
    "link-local unicast": lambda address: address.ip.ip.is_link_local,
}
_TYPES: Final[Mapping[str, tuple[int, ...]]] = {"ip": (4, 6), "ipv4": (4,), "ipv6": (6,)}
_ATTRIBUTES: Final[Mapping[str, Callable[[InterfaceAddress], str]]] = {
    "address": lambda address: address.text,
    "name": lambda address: address.name,
}
_ORDERS: Final[Mapping[str, Callable[[InterfaceAddress], Any]]] = {
    "address": lambda address: (address.ip.version, int(address.ip.ip)),
    "name": lambda address: address.name,
    # The largest network first, as there.
    "size": lambda address: address.ip.network.prefixlen,
    "type": lambda address: address.ip.version,
}


def by_flag(addresses: Addresses, flags: str) -> Addresses:
    """Those that have all of ``forwardable|up``."""
    tests = [_known(_FLAGS, flag.strip(), "the flag") for flag in flags.lower().split("|")]
    return tuple(address for address in addresses if all(test(address) for test in tests))


def by_name(addresses: Addresses, expression: str) -> Addresses:
    """Those of interfaces whose name has a match of the regular expression in it."""
    matches = _expression(expression)
    return tuple(address for address in addresses if matches.search(address.name))


def by_rfc(addresses: Addresses, numbers: str) -> Addresses:
    """Those that one of ``1918|4193`` lists; 6890 has all that are not public."""
    networks = [net for each in numbers.split("|") for net in _known(RFC_NETWORKS, each.strip(), "the RFC")]
    return tuple(address for address in addresses if is_inside(address.ip.ip, networks))


def in_order(addresses: Addresses, keys: str) -> Addresses:
    """Sorted by ``type,size``: the first counts most, ``-`` before a key turns it round."""
    ordered = list(addresses)
    for key in reversed(keys.split(",")):
        name = key.strip()
        order = _known(_ORDERS, name.lstrip("+-"), "the order")
        ordered.sort(key=order, reverse=name.startswith("-"))
    return tuple(ordered)


def _by_type(addresses: Addresses, kinds: str) -> Addresses:
    """Those of one of ``IPv4|IPv6``."""
    versions = [each for kind in kinds.lower().split("|") for each in _known(_TYPES, kind, "the type")]
    return tuple(address for address in addresses if address.ip.version in versions)


def _by_network(addresses: Addresses, texts: str) -> Addresses:
    """Those in one of ``10.0.0.0/8|fd00::/8``."""
    try:
        networks = [ipaddress.ip_network(text.strip(), strict=False) for text in texts.split("|")]
    except ValueError as exc:
        message = f"uses {texts!r}, which is no network"
        raise TemplateError(message) from exc
    return tuple(address for address in addresses if is_inside(address.ip.ip, networks))


def _by_address(addresses: Addresses, expression: str) -> Addresses:
    matches = _expression(expression)
    return tuple(address for address in addresses if matches.search(address.text))


_SELECTORS: Final[Mapping[str, Callable[[Addresses, str], Addresses]]] = {
    "address": _by_address,
    "flag": by_flag,
    "flags": by_flag,
    "name": by_name,
    "network": _by_network,
    "rfc": by_rfc,
    "type": _by_type,
}


def _include(addresses: Addresses, arguments: Sequence[str]) -> Addresses:
    selector, value = _arguments("include", arguments, 2)
    select = _known(_SELECTORS, selector.lower(), "the selector")
    kept: Addresses = select(addresses, value)
    return kept


def _exclude(addresses: Addresses, arguments: Sequence[str]) -> Addresses:
    _arguments("exclude", arguments, 2)
    left_out = set(_include(addresses, arguments))
    return tuple(address for address in addresses if address not in left_out)


def _attribute(addresses: Addresses, arguments: Sequence[str]) -> str:
    """Of the first address; nothing of none."""
    [name] = _arguments("attr", arguments, 1)
    show = _known(_ATTRIBUTES, name.lower(), "the attribute")
    return show(addresses[0]) if addresses else ""


def _join(addresses: Addresses, arguments: Sequence[str]) -> str:
    name, separator = _arguments("join", arguments, 2)
    show = _known(_ATTRIBUTES, name.lower(), "the attribute")
    return separator.join(show(address) for address in addresses)


def _limit(addresses: Addresses, arguments: Sequence[str]) -> Addresses:
    return addresses[: _number("limit", arguments)]


def _offset(addresses: Addresses, arguments: Sequence[str]) -> Addresses:
    return addresses[_number("offset", arguments) :]


def _sort(addresses: Addresses, arguments: Sequence[str]) -> Addresses:
    [keys] = _arguments("sort", arguments, 1)
    return in_order(addresses, keys)


FILTERS: Final[Mapping[str, Callable[[Addresses, Sequence[str]], Addresses | str]]] = {
    "attr": _attribute,
    "exclude": _exclude,
    "include": _include,
    "join": _join,
    "limit": _limit,
    "offset": _offset,
    "sort": _sort,
}


def _number(name: str, arguments: Sequence[str]) -> int:
    [text] = _arguments(name, arguments, 1)
    if not text.isascii() or not text.isdigit():
        message = f"gives {name!r} {text!r}, not a number"
        raise TemplateError(message)
    return int(text)


def _arguments(name: str, arguments: Sequence[str], count: int) -> Sequence[str]:
    if len(arguments) != count:
        given = "1 argument" if len(arguments) == 1 else f"{len(arguments)} arguments"
        message = f"gives {name!r} {given}; it takes {count}"
        raise TemplateError(message)
    return arguments


def _known(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in table:
        message = f"uses {what} {key!r}; supported are {', '.join(sorted(table))}"
        raise TemplateError(message)
    return table[key]


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as exc:
        message = f"uses {text!r}, which is no regular expression: {exc}"
        raise TemplateError(message) from exc
