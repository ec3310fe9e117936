"""A resource with its version, and all resources of one proxy at one moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One message as proto-JSON. Secrets are resources too, so the body is never shown."""

    name: str
    version: str
    """Changes exactly when the body does."""
    body: Mapping[str, Any] = field(repr=False, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceSet:
    """All resources of one proxy: by type URL, then by name, in a stable order."""

    by_type: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """The resources of one type by name; empty for a type that we do not serve."""
        return self.by_type.get(type_url, MappingProxyType({}))


def resource_set(bodies: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> ResourceSet:
    """Versioned resources from (name, body) pairs by type. Of two with one name the first counts."""
    by_type = {}
    for type_url, pairs in bodies.items():
        named: dict[str, Resource] = {}
        for name, body in pairs:
            if name not in named:
                named[name] = Resource(name=name, version=_version(body), body=body)
        by_type[type_url] = MappingProxyType(named)
    return ResourceSet(by_type=MappingProxyType(by_type))


def _version(body: Mapping[str, Any]) -> str:
    """A digest of the body, whatever the order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
