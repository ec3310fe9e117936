"""Address templates: a text with ``{{ source | filter … }}`` in it, evaluated against addresses. Pure.

What people write is supported: the sources and filters below, joined by ``|``. Go's statements
(``if``, ``range``, ``with``, variables) and functions of less use are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from connect_proxy_envoy.sockaddr.filters import FILTERS, TemplateError, by_flag, by_name, by_rfc, in_order
from connect_proxy_envoy.sockaddr.interfaces import InterfaceAddress

Addresses = tuple[InterfaceAddress, ...]

OPENING: Final = "{{"
_STATEMENTS: Final = frozenset({"if", "else", "range", "with", "end", "define", "template", "block"})
_ACTION: Final = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_WORD: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\||-?\w+)')


def rendered(text: str, addresses: Sequence[InterfaceAddress]) -> str:
    """*text* with each action replaced by what it finds; IPv6 before a colon gets brackets.

    Raises TemplateError for what cannot be read, is not supported, or finds nothing.
    """

    def value_of(match: re.Match[str]) -> str:
        found = _evaluated(match[1].strip(), tuple(addresses))
        before_port = ":" in found and text[match.end() :].startswith(":")
        return f"[{found}]" if before_port else found

    without_actions = _ACTION.sub("", text)
    if OPENING in without_actions or "}}" in without_actions:
        message = "has an action that is not closed"
        raise TemplateError(message)
    return _ACTION.sub(value_of, text)


def _evaluated(action: str, addresses: Addresses) -> str:
    if (word := action.partition(" ")[0]) in _STATEMENTS:
        message = f"uses {word!r}; only sources and filters, joined by '|', are supported"
        raise TemplateError(message)
    stages = _stages(action)
    value: Addresses | str = _source(stages[0], addresses)
    for name, *arguments in stages[1:]:
        if name not in FILTERS:
            message = f"uses {name!r} after a '|'; supported there are {', '.join(sorted(FILTERS))}"
            raise TemplateError(message)
        if isinstance(value, str):
            message = f"has {name!r} after what is a text already"
            raise TemplateError(message)
        value = FILTERS[name](value, arguments)
    if not isinstance(value, str):
        message = 'gives addresses, not a text; end it with | attr "address"'
        raise TemplateError(message)
    if not value:
        message = "finds no address on this host"
        raise TemplateError(message)
    return value


def _stages(action: str) -> list[list[str]]:
    """The words between the pipes, quotes taken off."""
    stages: list[list[str]] = [[]]
    at = 0
    while at < len(action):
        match = _WORD.match(action, at)
        if match is None:
            message = f"cannot be read at {action[at:].strip()!r}"
            raise TemplateError(message)
        at = match.end()
        if match[1] == "|":
            stages.append([])
        else:
            stages[-1].append(_unquoted(match[1]))
    if not all(stages):
        message = "has an empty action or nothing beside a '|'"
        raise TemplateError(message)
    return stages


def _unquoted(word: str) -> str:
    if word.startswith("`"):
        return word[1:-1]
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


# ---------------------------------------------------------------- sources


def _source(words: list[str], addresses: Addresses) -> Addresses | str:
    name, *arguments = words
    if name not in _SOURCES:
        message = f"begins with {name!r}; supported are {', '.join(sorted(_SOURCES))}"
        raise TemplateError(message)
    takes, source = _SOURCES[name]
    if len(arguments) != takes:
        given = "1 argument" if len(arguments) == 1 else f"{len(arguments)} arguments"
        message = f"gives {name!r} {given}; it takes {takes}"
        raise TemplateError(message)
    return source(addresses, *arguments)


def _default(addresses: Addresses) -> Addresses:
    return tuple(address for address in addresses if address.on_default_route)


def _reachable(addresses: Addresses) -> Addresses:
    return in_order(by_flag(by_flag(addresses, "forwardable"), "up"), "type,size")


def _private(addresses: Addresses) -> Addresses:
    return by_rfc(_reachable(addresses), "6890")


def _public(addresses: Addresses) -> Addresses:
    private = set(_private(addresses))
    return tuple(address for address in _reachable(addresses) if address not in private)


def _of_interface(addresses: Addresses, name: str) -> Addresses:
    return in_order(by_flag(by_name(addresses, name), "forwardable"), "type,size")


def _all_of_interface(addresses: Addresses, name: str) -> str:
    return _joined(by_name(addresses, name))


def _first(addresses: Addresses) -> str:
    return addresses[0].text if addresses else ""


def _joined(addresses: Addresses) -> str:
    return " ".join(address.text for address in addresses)


_SOURCES: Final[Mapping[str, tuple[int, Callable[..., Addresses | str]]]] = {
    "GetAllInterfaces": (0, tuple),
    "GetDefaultInterfaces": (0, _default),
    "GetPrivateInterfaces": (0, _private),
    "GetPublicInterfaces": (0, _public),
    "GetPrivateIP": (0, lambda addresses: _first(_private(addresses))),
    "GetPrivateIPs": (0, lambda addresses: _joined(_private(addresses))),
    "GetPublicIP": (0, lambda addresses: _first(_public(addresses))),
    "GetPublicIPs": (0, lambda addresses: _joined(_public(addresses))),
    "GetInterfaceIP": (1, lambda addresses, name: _first(_of_interface(addresses, name))),
    "GetInterfaceIPs": (1, _all_of_interface),
}
"""By name: how many arguments it takes, and what it gives."""
