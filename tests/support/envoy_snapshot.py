"""Snapshots for the Envoy backend's tests."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from connect_proxy.mesh.certificates import Leaf, Root, Roots
from connect_proxy.mesh.endpoints import Endpoint, UpstreamEndpoints
from connect_proxy.mesh.intentions import Intention
from connect_proxy.mesh.registration import Registration, Upstream
from connect_proxy.secret import Secret
from connect_proxy.snapshot.snapshot import ProxySnapshot
from support.mesh_ca import MeshCa

TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def intention(source: str, *, allow: bool, destination: str = "web", **fields: Any) -> Intention:
    return Intention(source_name=source, destination_name=destination, allow=allow, **fields)


def endpoint(service: str, port: int = 20000, address: str = "10.0.0.1", **fields: Any) -> Endpoint:
    defaults: dict[str, Any] = {"node": "n1", "service_id": f"{service}-1", "datacenter": "dc1"}
    return Endpoint(**(defaults | fields), address=address, port=port, destination_service=service)


def snapshot(
    *,
    config: Mapping[str, Any] | None = None,
    upstreams: Sequence[Upstream] = (),
    found: Mapping[str, Sequence[Endpoint]] | None = None,
    intentions: Sequence[Intention] = (),
    default_allow: bool = True,
    ca: MeshCa | None = None,
    generation: int = 1,
    roots: Sequence[str] = ("ROOT PEM\n",),
    **fields: Any,
) -> ProxySnapshot:
    """Service ``web`` behind ``web-sidecar-proxy``; with *ca* real certificates, else words."""
    registered: dict[str, Any] = {
        "id": "web-sidecar-proxy",
        "name": "web-sidecar-proxy",
        "destination_service_name": "web",
        "port": 21000,
        "local_service_port": 8080,
    }
    return ProxySnapshot(
        generation=generation,
        registration=Registration(**(registered | fields), config=config or {}, upstreams=tuple(upstreams)),
        roots=Roots(
            trust_domain=ca.trust_domain if ca else TRUST_DOMAIN,
            active_root_id="1",
            roots=tuple(
                Root(id=str(number), name="root", pem=pem, active=True)
                for number, pem in enumerate([ca.root_pem] if ca else roots)
            ),
        ),
        leaf=_leaf(ca),
        intentions=tuple(intentions),
        default_allow=default_allow,
        endpoints={
            upstream: UpstreamEndpoints(upstream_id=upstream, endpoints=tuple(endpoints))
            for upstream, endpoints in (found or {}).items()
        },
    )


def _leaf(ca: MeshCa | None) -> Leaf:
    if ca is None:
        uri, pem, key = f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/web", "LEAF PEM", "KEY PEM"
    else:
        issued = ca.leaf("web")
        uri, pem, key = issued.uri, issued.certificate_pem, issued.private_key_pem
    return Leaf(
        service="web",
        uri=uri,
        serial="01",
        certificate_pem=pem,
        private_key=Secret(key),
        valid_after=_LONG_AGO,
        valid_before=_LONG_AGO + datetime.timedelta(days=36500),
    )
