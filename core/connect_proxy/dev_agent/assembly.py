"""Builds the parts of an agent and connects them. No I/O."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from connect_proxy.dev_agent.access import Access
from connect_proxy.dev_agent.agent_cache import AgentCache
from connect_proxy.dev_agent.ca.authority import Authority
from connect_proxy.dev_agent.ca.leaves import Leaves
from connect_proxy.dev_agent.catalog import CONSUL_SERVICE, Catalog
from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.checks.runner import CheckRunner
from connect_proxy.dev_agent.intentions import Intentions
from connect_proxy.dev_agent.options import DevAgentOptions, ip_text
from connect_proxy.dev_agent.prepared_queries import PreparedQueries
from connect_proxy.dev_agent.records import Node, ServiceRecord
from connect_proxy.dev_agent.registry import Registry
from connect_proxy.dev_agent.sidecar import PortRange
from connect_proxy.dev_agent.state import CONSUL_VERSION, AgentState, Ports
from connect_proxy.dev_agent.storage.capture import held_leaves, predecessor, resumed_node
from connect_proxy.dev_agent.storage.kept import KeptAgent
from connect_proxy.mesh.immutable import frozen


def build_state(
    options: DevAgentOptions,
    *,
    changes: Changes,
    access: Access,
    ports: Ports,
    supported_envoys: tuple[str, ...] = (),
    kept: KeptAgent | None = None,
) -> AgentState:
    """A fresh agent: a new node id, a new CA, nothing registered but ``consul`` itself.

    With what another one has *kept*, node id and trust domain are the same; ``storage.capture.resume`` puts
    the rest in.
    """
    now = datetime.now(UTC)
    catalog = _catalog(options, ports, changes, kept)
    checks = CheckRunner(catalog=catalog)
    authority = _authority(changes, kept, now)
    grace = timedelta(seconds=options.ca_grace)
    held = () if kept is None else held_leaves(kept, now=now, grace=grace)
    first, last = options.sidecar_ports
    return AgentState(
        changes=changes,
        catalog=catalog,
        checks=checks,
        registry=Registry(catalog=catalog, checks=checks, sidecar_ports=PortRange(first=first, last=last)),
        authority=authority,
        leaves=Leaves(authority=authority, datacenter=options.datacenter, changes=changes, held=held),
        intentions=Intentions(changes=changes),
        queries=PreparedQueries(changes=changes),
        access=access,
        agent_cache=AgentCache(),
        client_address=options.listener_host,
        ports=ports,
        sidecar_port_range=options.sidecar_ports,
        supported_envoys=supported_envoys,
    )


def _authority(changes: Changes, kept: KeptAgent | None, now: datetime) -> Authority:
    if kept is None:
        return Authority(cluster_id=str(uuid.uuid4()), changes=changes, now=now)
    before = predecessor(kept)
    return Authority(cluster_id=kept.authority.cluster_id, changes=changes, now=now, predecessor=before)


def _catalog(options: DevAgentOptions, ports: Ports, changes: Changes, kept: KeptAgent | None) -> Catalog:
    node = Node(
        id=str(uuid.uuid4()),
        name=options.node,
        address=ip_text(options.bind),
        datacenter=options.datacenter,
        meta=frozen({"consul-network-segment": ""}),
    )
    if kept is not None:
        node = resumed_node(node, kept.node)
    server = ServiceRecord(
        id=CONSUL_SERVICE,
        name=CONSUL_SERVICE,
        port=ports.server,
        meta=frozen(
            {
                "non_voter": "false",
                "raft_version": "3",
                "serf_protocol_current": "2",
                "serf_protocol_max": "5",
                "serf_protocol_min": "1",
                "version": CONSUL_VERSION,
            }
        ),
    )
    return Catalog(node=node, changes=changes, server=server)
