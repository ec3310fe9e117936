"""What outlasts a restart, as frozen values: the agent's state without its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connect_proxy.dev_agent.intentions import StoredIntention
from connect_proxy.dev_agent.prepared_queries import PreparedQuery
from connect_proxy.dev_agent.records import CheckDefinition, CheckRecord, Node, ServiceRecord
from connect_proxy.mesh.immutable import EMPTY


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAuthority:
    """The CA without its key: another start signs with another root."""

    cluster_id: str
    """Of the trust domain: ``<cluster_id>.consul``."""
    serial: int
    """The last serial that was given out."""
    config: Mapping[str, Any] = EMPTY
    """Without ``PrivateKey`` and ``RootCert``."""
    force_without_cross_signing: bool = False
    key_was_given: bool = False
    """The root in force was made from a key of the operator's, which is not kept."""
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRoot:
    """A root's certificate: public."""

    certificate_pem: str
    intermediates_pem: tuple[str, ...] = ()
    leaves_until: datetime | None = None
    """The end of the last leaf that it signed; None: it signed none."""
    retired_at: datetime | None = None
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLeaf:
    """That a service has a leaf, not the leaf."""

    service: str
    serial: str
    root_id: str
    valid_before: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptCheck:
    """A check and what it does; a maintenance mode has no definition."""

    record: CheckRecord
    definition: CheckDefinition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAgent:
    """Everything, at one moment."""

    node: Node
    index: int
    """No client has seen a larger one."""
    authority: KeptAuthority
    roots: tuple[KeptRoot, ...] = ()
    leaves: tuple[KeptLeaf, ...] = ()
    services: tuple[ServiceRecord, ...] = ()
    checks: tuple[KeptCheck, ...] = ()
    intentions: tuple[StoredIntention, ...] = ()
    queries: tuple[PreparedQuery, ...] = ()
