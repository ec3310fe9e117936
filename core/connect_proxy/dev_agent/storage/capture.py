"""From the parts of a running agent to what is kept of them, and back. No I/O."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from connect_proxy.dev_agent.ca import profile
from connect_proxy.dev_agent.ca.authority import Authority, AuthorityRoot, Configuration, Predecessor
from connect_proxy.dev_agent.ca.held_leaf import HeldLeaf, release_time
from connect_proxy.dev_agent.ca.leaves import IssuedLeaf, Leaves
from connect_proxy.dev_agent.records import Node
from connect_proxy.dev_agent.state import AgentState
from connect_proxy.dev_agent.storage.kept import KeptAgent, KeptAuthority, KeptCheck, KeptLeaf, KeptRoot

_KEYS: Final = ("PrivateKey", "RootCert")
_log = logging.getLogger("connect_proxy.dev_agent")


def captured(state: AgentState) -> KeptAgent:
    """*state* at this moment."""
    catalog = state.catalog
    return KeptAgent(
        node=catalog.node,
        index=state.changes.latest,
        authority=_authority(state.authority),
        roots=tuple(_root(root) for root in state.authority.roots),
        leaves=tuple(_leaves(state.leaves)),
        services=tuple(catalog.local_services().values()),
        checks=tuple(
            KeptCheck(record=check, definition=state.checks.definition(check.id))
            for check in catalog.local_checks().values()
        ),
        intentions=tuple(state.intentions.all()),
        queries=tuple(state.queries.all()),
    )


def resume(state: AgentState, kept: KeptAgent) -> None:
    """Put *kept* into the parts of a fresh *state*. Starts the checks: needs a running loop."""
    if kept.authority.key_was_given:
        _log.warning(
            "the key that was given to the CA is not kept: certificates are signed by a root of our own;"
            " give it again with PUT /v1/connect/ca/configuration"
        )
    state.catalog.resume(kept.services, (check.record for check in kept.checks))
    for check in kept.checks:
        if check.definition is not None:
            state.checks.resume(check.record.id, check.definition)
    state.intentions.resume(kept.intentions)
    state.queries.resume(kept.queries)


def resumed_node(node: Node, before: Node) -> Node:
    """*node* as it is now, with the id that it had, and with its indexes where nothing else is new."""
    same = replace(node, id=before.id, create_index=before.create_index, modify_index=before.modify_index)
    return same if same == before else replace(same, modify_index=0)


def predecessor(kept: KeptAgent) -> Predecessor:
    """The CA of the agent that kept this."""
    authority = kept.authority
    return Predecessor(
        configuration=Configuration(
            config=authority.config,
            force_without_cross_signing=authority.force_without_cross_signing,
            create_index=authority.create_index,
            modify_index=authority.modify_index,
        ),
        serial=authority.serial,
        roots=tuple(_resumed_root(root) for root in kept.roots),
    )


def held_leaves(kept: KeptAgent, *, now: datetime, grace: timedelta) -> Iterable[HeldLeaf]:
    """The leaves of that agent which are still valid."""
    for leaf in kept.leaves:
        if leaf.valid_before > now:
            yield HeldLeaf(
                service=leaf.service,
                serial=leaf.serial,
                root_id=leaf.root_id,
                valid_before=leaf.valid_before,
                release_at=release_time(
                    valid_before=leaf.valid_before,
                    now=now,
                    grace=grace,
                    random=random.random(),  # noqa: S311 - spreads load, protects nothing
                ),
            )


def _authority(authority: Authority) -> KeptAuthority:
    configuration = authority.configuration
    return KeptAuthority(
        cluster_id=authority.cluster_id,
        serial=authority.last_serial,
        config={key: value for key, value in configuration.config.items() if key not in _KEYS},
        force_without_cross_signing=configuration.force_without_cross_signing,
        key_was_given=any(configuration.config.get(key) for key in _KEYS),
        create_index=configuration.create_index,
        modify_index=configuration.modify_index,
    )


def _root(root: AuthorityRoot) -> KeptRoot:
    return KeptRoot(
        certificate_pem=profile.pem_of(root.certificate),
        intermediates_pem=tuple(profile.pem_of(each) for each in root.intermediates),
        leaves_until=root.leaves_until,
        retired_at=root.retired_at,
        create_index=root.create_index,
        modify_index=root.modify_index,
    )


def _resumed_root(root: KeptRoot) -> AuthorityRoot:
    certificate = x509.load_pem_x509_certificate(root.certificate_pem.encode())
    return AuthorityRoot(
        id=profile.fingerprint(certificate),
        certificate=certificate,
        intermediates=tuple(
            x509.load_pem_x509_certificate(each.encode()) for each in root.intermediates_pem
        ),
        active=False,
        retired_at=root.retired_at,
        leaves_until=root.leaves_until,
        create_index=root.create_index,
        modify_index=root.modify_index,
    )


def _leaves(leaves: Leaves) -> Iterable[KeptLeaf]:
    """One a service: ours where there is one, else that of the agent before."""
    latest: dict[str, HeldLeaf | IssuedLeaf] = {leaf.service: leaf for leaf in leaves.held()}
    latest.update({leaf.service: leaf for leaf in leaves.issued()})
    for leaf in latest.values():
        yield KeptLeaf(
            service=leaf.service,
            serial=leaf.serial,
            root_id=leaf.root_id,
            valid_before=leaf.valid_before,
        )
