"""Intentions: storing, matching, deciding. Source: ``/v1/connect/intentions`` of Consul 1.8.7."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from connect_proxy.dev_agent import permissions
from connect_proxy.dev_agent.changes import INTENTIONS, Changes
from connect_proxy.dev_agent.decoding import Kind, Struct, integer, map_of, text
from connect_proxy.dev_agent.permissions import PERMISSIONS
from connect_proxy.dev_agent.uuids import check_uuid
from connect_proxy.dev_agent.validation import multi_error
from connect_proxy.errors import ApiError
from connect_proxy.mesh.immutable import EMPTY, frozen, thawed
from connect_proxy.mesh.intentions import ANY, Intention, by_precedence

BODY_FIELDS: Final[Mapping[str, Kind]] = {
    "ID": text,
    "Description": text,
    "SourceNS": text,
    "SourceName": text,
    "DestinationNS": text,
    "DestinationName": text,
    "SourceType": text,
    "Action": text,
    "DefaultAddr": text,
    "DefaultPort": integer,
    "Meta": map_of(text),
    "Precedence": integer,
    "CreatedAt": text,
    "UpdatedAt": text,
    "Hash": text,
    "CreateIndex": integer,
    "ModifyIndex": integer,
}
BODY: Final = Struct(BODY_FIELDS)
EXACT_BODY: Final = Struct({**BODY_FIELDS, "Permissions": PERMISSIONS})
"""Of Consul 1.9, the first with permissions."""
_TEXT_LIMIT: Final = 512
_META_PAIRS: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredIntention:
    """One intention with what Consul keeps beside the rule itself."""

    rule: Intention
    description: str = ""
    source_type: str = "consul"
    meta: Mapping[str, str] = EMPTY
    permissions: tuple[Mapping[str, Any], ...] = ()
    """L7, as they were given: then there is no action, and the rule allows no connection."""
    created_at: datetime
    updated_at: datetime
    create_index: int = 0
    modify_index: int = 0

    @property
    def action(self) -> str:
        return "allow" if self.rule.allow else "deny"

    def __str__(self) -> str:
        """``ALLOW default/web => default/db (ID: …, Precedence: 9)``: as reasons quote it."""
        rule, number = self.rule, len(self.permissions)
        what = f"{number} permission{'s' * (number > 1)}" if number else self.action.upper()
        return (
            f"{what} {rule.source_namespace}/{rule.source_name} => "
            f"{rule.destination_namespace}/{rule.destination_name} "
            f"(ID: {rule.id}, Precedence: {rule.precedence})"
        )


@dataclass(kw_only=True, slots=True)
class Intentions:
    """All intentions of the datacenter."""

    changes: Changes
    _by_id: dict[str, StoredIntention] = field(default_factory=dict)

    def all(self) -> list[StoredIntention]:
        """In order of precedence."""
        rules = {stored.rule.id: stored for stored in self._by_id.values()}
        return [rules[rule.id] for rule in by_precedence(stored.rule for stored in rules.values())]

    def resume(self, stored: Iterable[StoredIntention]) -> None:
        """Take what an agent before this one had, as it was."""
        self._by_id = {one.rule.id: one for one in stored}

    def get(self, intention_id: str) -> StoredIntention:
        if complaint := check_uuid(intention_id):
            message = f"Bad request: failed intention lookup: index error: {complaint}"
            raise ApiError(400, message)
        if (stored := self._by_id.get(intention_id)) is None:
            raise ApiError(404, "Intention not found")
        return stored

    def find(self, source: tuple[str, str], destination: tuple[str, str]) -> StoredIntention | None:
        """The intention for exactly these (namespace, name), ``*`` being a name like others."""
        for stored in self._by_id.values():
            rule = stored.rule
            if (rule.source_namespace, rule.source_name) != source:
                continue
            if (rule.destination_namespace, rule.destination_name) == destination:
                return stored
        return None

    def create(self, body: Mapping[str, Any]) -> str:
        """``POST``. Returns the new id."""
        if body.get("ID"):
            raise ApiError(500, "ID must be empty when creating a new intention")
        now = datetime.now(UTC)
        return self._put(_intention(body, str(uuid.uuid4()), now), None, now)

    def update(self, intention_id: str, body: Mapping[str, Any]) -> str:
        """``PUT``: the id of the path counts, not that of the body."""
        old = self._for_write(intention_id, "modify")
        now = datetime.now(UTC)
        return self._put(_intention(body, intention_id, now), old, now)

    def delete(self, intention_id: str) -> None:
        self._for_write(intention_id, "delete")
        del self._by_id[intention_id]
        self.changes.bump(INTENTIONS)

    def match(self, *, by: str, namespace: str, name: str) -> list[StoredIntention]:
        """Every intention whose *by* (``source``, ``destination``) covers this service, in order."""

        def covers(rule: Intention) -> bool:
            if by == "source":
                own = rule.source_namespace, rule.source_name
            else:
                own = rule.destination_namespace, rule.destination_name
            return own[0] in {namespace, ANY} and own[1] in {name, ANY}

        return [stored for stored in self.all() if covers(stored.rule)]

    def decide(self, *, source: tuple[str, str], destination: tuple[str, str]) -> StoredIntention | None:
        """The intention that decides about this pair of (namespace, name); None if there is none."""
        for stored in self.match(by="destination", namespace=destination[0], name=destination[1]):
            if stored.rule.matches_source(namespace=source[0], name=source[1]):
                return stored
        return None

    def _for_write(self, intention_id: str, verb: str) -> StoredIntention:
        if complaint := check_uuid(intention_id):
            message = f"Intention lookup failed: failed intention lookup: index error: {complaint}"
            raise ApiError(500, message)
        if (old := self._by_id.get(intention_id)) is None:
            raise ApiError(500, f"Cannot {verb} non-existent intention: '{intention_id}'")
        return old

    def _put(self, new: StoredIntention, old: StoredIntention | None, now: datetime) -> str:
        rule = new.rule
        other = self.find(
            (rule.source_namespace, rule.source_name), (rule.destination_namespace, rule.destination_name)
        )
        if other is not None and other.rule.id != rule.id:
            raise ApiError(500, f"duplicate intention found: {other}")
        index = self.changes.bump(INTENTIONS)
        self._by_id[rule.id] = replace(
            new,
            created_at=now if old is None else old.created_at,
            create_index=index if old is None else old.create_index,
            modify_index=index,
        )
        return rule.id


def _intention(body: Mapping[str, Any], intention_id: str, now: datetime) -> StoredIntention:
    if complaints := _complaints(body):
        raise ApiError(500, multi_error(complaints))
    rule = Intention(
        id=intention_id,
        source_name=body["SourceName"],
        destination_name=body["DestinationName"],
        source_namespace=body.get("SourceNS") or "default",
        destination_namespace=body.get("DestinationNS") or "default",
        allow=body.get("Action") == "allow",
    )
    return StoredIntention(
        rule=rule,
        description=body.get("Description", ""),
        meta=frozen(body.get("Meta", EMPTY)),
        permissions=frozen(permissions.shown(body.get("Permissions", ()))),
        created_at=now,
        updated_at=now,
    )


def _complaints(body: Mapping[str, Any]) -> list[str]:
    complaints = [
        *(_name_complaint("Source", body) or []),
        *(_name_complaint("Destination", body) or []),
    ]
    if len(body.get("Description", "")) > _TEXT_LIMIT:
        complaints.append(f"Description exceeds maximum length {_TEXT_LIMIT}")
    if len(body.get("Meta", {})) > _META_PAIRS:
        complaints.append(f"Meta exceeds maximum element count {_META_PAIRS}")
    if wanted := body.get("Permissions"):
        action = body.get("Action", "")
        complaints += permissions.complaints(wanted, action=action, destination=body["DestinationName"])
    elif body.get("Action") not in {"allow", "deny"}:
        complaints.append("Action must be set to 'allow' or 'deny'")
    if body.get("SourceType", "consul") != "consul":
        complaints.append("SourceType must be set to 'consul'")
    return complaints


def _name_complaint(side: str, body: Mapping[str, Any]) -> list[str]:
    name, namespace = body.get(f"{side}Name", ""), body.get(f"{side}NS") or "default"
    if not name:
        return [f"{side}Name must be set"]
    for key, value in ((f"{side}NS", namespace), (f"{side}Name", name)):
        if ANY in value and value != ANY:
            return [f"{key}: wildcard character '*' cannot be used with partial values"]
    if namespace == ANY and name != ANY:
        return [f"{side}Name: exact value cannot follow wildcard namespace"]
    return []


def intention_json(stored: StoredIntention) -> dict[str, Any]:
    """As ``GET /v1/connect/intentions/:id`` shows it."""
    rule = stored.rule
    shown: dict[str, Any] = {
        "ID": rule.id,
        "Description": stored.description,
        "SourceNS": rule.source_namespace,
        "SourceName": rule.source_name,
        "DestinationNS": rule.destination_namespace,
        "DestinationName": rule.destination_name,
        "SourceType": stored.source_type,
        "Action": stored.action,
        "DefaultAddr": "",
        "DefaultPort": 0,
        "Meta": dict(stored.meta),
        "Precedence": rule.precedence,
    }
    if stored.permissions:
        del shown["Action"]
        shown["Permissions"] = thawed(stored.permissions)
    content = json.dumps(shown, sort_keys=True).encode()
    return shown | {
        "CreatedAt": _timestamp(stored.created_at),
        "UpdatedAt": _timestamp(stored.updated_at),
        "Hash": base64.b64encode(hashlib.sha256(content).digest()).decode(),
        "CreateIndex": stored.create_index,
        "ModifyIndex": stored.modify_index,
    }


def _timestamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
