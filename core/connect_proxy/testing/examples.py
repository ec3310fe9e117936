"""Values to start a test from. Every argument replaces one part of the example."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from connect_proxy.backends import Backend
from connect_proxy.consul.access import AgentAccess
from connect_proxy.mesh.certificates import Leaf, Root, Roots
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.plugin_api import ProxyContext, Source, Sourced
from connect_proxy.secret import Secret
from connect_proxy.snapshot.snapshot import ProxySnapshot

TOKEN = "7c9ad0b3-3d2a-4f61-9b0a-0c5f0b7a1e55"  # noqa: S105  (an example, to be looked for where it must not be)
TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"


def registration(**parts: Any) -> Registration:
    """The sidecar of ``web``, with one upstream ``db`` on 127.0.0.1:9191."""
    example = Registration(
        id="web-sidecar-proxy",
        name="web-sidecar-proxy",
        address="127.0.0.1",
        port=21000,
        datacenter="dc1",
        destination_service_name="web",
        destination_service_id="web",
        local_service_port=8080,
        upstreams=(Upstream(destination_name="db", local_bind_port=9191),),
    )
    return dataclasses.replace(example, **parts)


def context(backend: Backend | None = None, **parts: Any) -> ProxyContext:
    """What was resolved for :func:`registration`; the options of *backend* at their defaults."""
    rows = backend.options() if backend else ()
    options = {row.name: Sourced(row.default, Source.DEFAULT) for row in rows}
    example = ProxyContext(
        registration=registration(),
        agent=AgentAccess(token=Secret(TOKEN)),
        agent_self=frozen({"Config": {"Datacenter": "dc1", "NodeName": "node-1", "Version": "1.8.7"}}),
        datacenter="dc1",
        options=options,
        environment={"PATH": "/usr/bin:/bin"},
        runtime_dir="/run/connect-proxy-example",
    )
    return dataclasses.replace(example, **parts)


def snapshot(**parts: Any) -> ProxySnapshot:
    """A first snapshot of :func:`registration`. Its certificates are words, not certificates."""
    now = datetime.now(UTC)
    root = Root(id="aa:bb", name="Consul CA", pem="-----root-----\n", active=True)
    example = ProxySnapshot(
        generation=1,
        registration=registration(),
        roots=Roots(trust_domain=TRUST_DOMAIN, active_root_id=root.id, roots=(root,)),
        leaf=Leaf(
            service="web",
            uri=f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/web",
            serial="08",
            certificate_pem="-----leaf-----\n",
            private_key=Secret("-----key-----\n"),
            valid_after=now - timedelta(minutes=1),
            valid_before=now + timedelta(hours=72),
        ),
    )
    return dataclasses.replace(example, **parts)
