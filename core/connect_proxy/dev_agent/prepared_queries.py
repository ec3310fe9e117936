"""Prepared queries: storing and running them. Source: ``/v1/query`` of Consul 1.8.7."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connect_proxy.dev_agent.catalog import Catalog, Instance
from connect_proxy.dev_agent.changes import QUERIES, Changes
from connect_proxy.dev_agent.decoding import Struct, boolean, integer, list_of, map_of, text
from connect_proxy.dev_agent.go_duration import NotADurationError, parse_duration
from connect_proxy.dev_agent.records import CRITICAL, PASSING, CheckRecord
from connect_proxy.dev_agent.uuids import check_uuid
from connect_proxy.errors import ApiError
from connect_proxy.mesh.immutable import thawed
from connect_proxy.secret import MASK

_FAILOVER: Final = Struct({"NearestN": integer, "Datacenters": list_of(text)})
_SERVICE: Final = Struct(
    {
        "Service": text,
        "Failover": _FAILOVER,
        "OnlyPassing": boolean,
        "IgnoreCheckIDs": list_of(text),
        "Near": text,
        "Tags": list_of(text),
        "NodeMeta": map_of(text),
        "ServiceMeta": map_of(text),
        "Connect": boolean,
    }
)
BODY: Final = Struct(
    {
        "ID": text,
        "Name": text,
        "Session": text,
        "Token": text,
        "Template": Struct({"Type": text, "Regexp": text, "RemoveEmptyTags": boolean}),
        "Service": _SERVICE,
        "DNS": Struct({"TTL": text}),
        "CreateIndex": integer,
        "ModifyIndex": integer,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedQuery:
    """A stored query; ``definition`` is its decoded body."""

    id: str
    definition: Mapping[str, Any]
    create_index: int
    modify_index: int

    @property
    def name(self) -> str:
        return str(self.definition.get("Name", ""))

    @property
    def service(self) -> Mapping[str, Any]:
        service: Mapping[str, Any] = self.definition["Service"]
        return service

    @property
    def ttl(self) -> str:
        return str(self.definition.get("DNS", {}).get("TTL", ""))


@dataclass(kw_only=True, slots=True)
class PreparedQueries:
    """All prepared queries of the datacenter."""

    changes: Changes
    _by_id: dict[str, PreparedQuery] = field(default_factory=dict)

    def all(self) -> list[PreparedQuery]:
        """In order of ids."""
        return [self._by_id[query_id] for query_id in sorted(self._by_id)]

    def resume(self, queries: Iterable[PreparedQuery]) -> None:
        """Take what an agent before this one had, as it was."""
        self._by_id = {query.id: replace(query, definition=thawed(query.definition)) for query in queries}

    def get(self, query_id: str) -> PreparedQuery:
        """By id only, as ``GET /v1/query/:uuid`` looks it up."""
        if complaint := check_uuid(query_id):
            raise ApiError(500, f"failed prepared query lookup: index error: {complaint}")
        if (query := self._by_id.get(query_id)) is None:
            raise ApiError(404, "Query not found")
        return query

    def resolve(self, id_or_name: str) -> PreparedQuery:
        """By id, else by name, as ``execute`` and ``explain`` look it up."""
        if (query := self._by_id.get(id_or_name)) is not None:
            return query
        for query in self._by_id.values():
            if query.name and query.name == id_or_name:
                return query
        raise ApiError(404, "Query not found")

    def create(self, body: Mapping[str, Any]) -> str:
        """``POST``. Returns the new id."""
        if body.get("ID"):
            raise ApiError(500, "ID must be empty when creating a new prepared query")
        return self._put(str(uuid.uuid4()), body, None)

    def update(self, query_id: str, body: Mapping[str, Any]) -> None:
        """``PUT``."""
        self._put(query_id, body, self._for_write(query_id))

    def delete(self, query_id: str) -> None:
        self._for_write(query_id)
        del self._by_id[query_id]
        self.changes.bump(QUERIES)

    def _for_write(self, query_id: str) -> PreparedQuery:
        if complaint := check_uuid(query_id):
            message = (
                f"Prepared Query lookup failed: failed prepared query lookup: index error: {complaint}"
            )
            raise ApiError(500, message)
        if (query := self._by_id.get(query_id)) is None:
            raise ApiError(500, f"Cannot modify non-existent prepared query: '{query_id}'")
        return query

    def _put(self, query_id: str, body: Mapping[str, Any], old: PreparedQuery | None) -> str:
        if complaint := _complaint(body):
            raise ApiError(500, f"Invalid prepared query: {complaint}")
        name = body.get("Name")
        if name and any(query.name == name and query.id != query_id for query in self._by_id.values()):
            raise ApiError(500, f"name '{name}' aliases an existing query name")
        index = self.changes.bump(QUERIES)
        self._by_id[query_id] = PreparedQuery(
            id=query_id,
            definition=body,
            create_index=index if old is None else old.create_index,
            modify_index=index,
        )
        return query_id


def _complaint(body: Mapping[str, Any]) -> str:
    if not body.get("Name") and not body.get("Session") and not body.get("Template", {}).get("Type"):
        return "Must be bound to a session"
    if not body.get("Service", {}).get("Service"):
        return "Must provide a Service name to query"
    failover = body["Service"].get("Failover", {})
    if failover.get("NearestN", 0) < 0:
        return f"Bad NearestN '{failover['NearestN']}', must be >= 0"
    if ttl := body.get("DNS", {}).get("TTL"):
        try:
            if parse_duration(ttl) < 0:
                return f"DNS TTL '{ttl}', must be >=0"
        except NotADurationError as exc:
            return f"Bad DNS TTL '{ttl}': {exc}"
    return ""


def run_query(query: PreparedQuery, catalog: Catalog, *, connect: bool, limit: int = 0) -> list[Instance]:
    """The instances that *query* finds, shuffled as Consul does. *connect*: only those in the mesh."""
    service = query.service
    name = service["Service"]
    in_mesh = connect or service.get("Connect", False)
    found = [
        instance
        for instance in (catalog.connect_instances(name) if in_mesh else catalog.instances(name))
        if _is_wanted(instance, service, catalog)
    ]
    random.shuffle(found)
    return found[:limit] if limit else found


def _is_wanted(instance: Instance, service: Mapping[str, Any], catalog: Catalog) -> bool:
    ignored = frozenset(service.get("IgnoreCheckIDs") or ())
    checks = [check for check in instance.checks if check.id not in ignored]
    return (
        _is_healthy(checks, only_passing=service.get("OnlyPassing", False))
        and _has_tags(instance.service.tags, service.get("Tags") or ())
        and _has_meta(instance.service.meta, service.get("ServiceMeta"))
        and _has_meta(catalog.node.meta, service.get("NodeMeta"))
    )


def _is_healthy(checks: list[CheckRecord], *, only_passing: bool) -> bool:
    if only_passing:
        return all(check.status == PASSING for check in checks)
    return all(check.status != CRITICAL for check in checks)


def _has_tags(tags: tuple[str, ...], wanted: list[str] | tuple[str, ...]) -> bool:
    """All the wanted ones, none of those marked with ``!``; letter case does not count."""
    have = {tag.lower() for tag in tags}
    return all((tag[1:].lower() not in have) if tag[:1] == "!" else tag.lower() in have for tag in wanted)


def _has_meta(meta: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(meta.get(key) == value for key, value in (wanted or {}).items())


def query_json(query: PreparedQuery) -> dict[str, Any]:
    """As ``GET /v1/query/:uuid`` shows it."""
    body, service = query.definition, query.service
    template, failover = body.get("Template", {}), service.get("Failover", {})
    return {
        "ID": query.id,
        "Name": query.name,
        "Session": body.get("Session", ""),
        "Token": MASK if body.get("Token") else "",
        "Template": {
            "Type": template.get("Type", ""),
            "Regexp": template.get("Regexp", ""),
            "RemoveEmptyTags": template.get("RemoveEmptyTags", False),
        },
        "Service": {
            "Service": service["Service"],
            "Failover": {
                "NearestN": failover.get("NearestN", 0),
                "Datacenters": failover.get("Datacenters"),
            },
            "OnlyPassing": service.get("OnlyPassing", False),
            "IgnoreCheckIDs": service.get("IgnoreCheckIDs"),
            "Near": service.get("Near", ""),
            "Tags": service.get("Tags"),
            "NodeMeta": service.get("NodeMeta"),
            "ServiceMeta": service.get("ServiceMeta"),
            "Connect": service.get("Connect", False),
        },
        "DNS": {"TTL": query.ttl},
        "CreateIndex": query.create_index,
        "ModifyIndex": query.modify_index,
    }
