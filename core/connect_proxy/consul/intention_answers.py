"""Reading an intention with its L7 permissions, in the shape of Consul 1.9 and newer.

What is not understood narrows: a condition that this version does not know (``JWT``) may only take
permissions away, so an allowing rule with one of them denies. Its key is told in ``not_understood``.
"""

from __future__ import annotations

from typing import Final

from connect_proxy.consul.fields import Fields
from connect_proxy.mesh.intentions import HeaderMatch, Intention, Permission

DEFAULT: Final = "default"
"""The namespace and the partition of open-source Consul, which leaves them out."""
_ALLOW: Final = "allow"
_CONDITION: Final = "JWT"
_PERMISSION_KEYS: Final = ("Action", "HTTP")
_HTTP_KEYS: Final = ("PathExact", "PathPrefix", "PathRegex", "Header", "Methods")
_COMPARISONS: Final = ("Exact", "Prefix", "Suffix", "Contains", "Regex", "Present")
_HEADER_KEYS: Final = ("Name", *_COMPARISONS, "IgnoreCase", "Invert")


def intention(fields: Fields) -> Intention:
    """An entry of ``connect/intentions`` and of ``connect/intentions/match``."""
    found = [_permission(entry) for entry in fields.sections("Permissions")]
    unknown = [_CONDITION] if fields.has(_CONDITION) else []
    unknown += [key for _, keys in found for key in keys]
    return Intention(
        id=fields.text("ID"),
        source_name=fields.text("SourceName"),
        destination_name=fields.text("DestinationName"),
        # Anything but "allow" denies: with L7 permissions Consul sends no action at all.
        allow=fields.text("Action") == _ALLOW and not found and not unknown,
        source_namespace=fields.text("SourceNS", DEFAULT),
        destination_namespace=fields.text("DestinationNS", DEFAULT),
        source_partition=fields.text("SourcePartition", DEFAULT),
        source_peer=fields.text("SourcePeer"),
        # A condition on the intention itself holds for all of its permissions.
        permissions=() if fields.has(_CONDITION) else tuple(permission for permission, _ in found),
        not_understood=tuple(dict.fromkeys(unknown)),
    )


def _permission(fields: Fields) -> tuple[Permission, tuple[str, ...]]:
    """The permission, and the keys that are not understood."""
    http = fields.section("HTTP")
    headers = http.sections("Header")
    unknown = [*fields.others(*_PERMISSION_KEYS), *http.others(*_HTTP_KEYS)]
    unknown += [key for header in headers for key in _unknown_of(header)]
    permission = Permission(
        allow=fields.text("Action") == _ALLOW and not unknown,
        path_exact=http.text("PathExact"),
        path_prefix=http.text("PathPrefix"),
        path_regex=http.text("PathRegex"),
        headers=tuple(_header(header) for header in headers if any(map(header.has, _COMPARISONS))),
        methods=http.texts("Methods"),
    )
    return permission, tuple(unknown)


def _unknown_of(header: Fields) -> tuple[str, ...]:
    unknown = header.others(*_HEADER_KEYS)
    if not unknown and not any(map(header.has, _COMPARISONS)):
        return ("Header without a comparison",)
    return unknown


def _header(fields: Fields) -> HeaderMatch:
    return HeaderMatch(
        name=fields.text("Name"),
        exact=fields.text("Exact"),
        prefix=fields.text("Prefix"),
        suffix=fields.text("Suffix"),
        contains=fields.text("Contains"),
        regex=fields.text("Regex"),
        present=fields.flag("Present"),
        ignore_case=fields.flag("IgnoreCase"),
        invert=fields.flag("Invert"),
    )
