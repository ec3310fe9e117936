"""JSON as a Consul 1.8 agent sends it, for scripted agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

TRUST_DOMAIN = "11111111-2222-3333-4444-555555555555.consul"


def node_services(*services: dict[str, Any], node: str = "pod-1") -> dict[str, Any]:
    """``catalog/node-services/:node``; the catalog knows no content hash."""
    listed = [{key: value for key, value in one.items() if key != "ContentHash"} for one in services]
    return {"Node": {"Node": node, "Address": "127.0.0.9", "Datacenter": "dc1"}, "Services": listed}


def sidecar(
    service: str = "web",
    *,
    proxy_id: str = "",
    upstreams: list[dict[str, Any]] | None = None,
    destination: str = "",
) -> dict[str, Any]:
    """``agent/service/:id`` of a sidecar."""
    return {
        "Kind": "connect-proxy",
        "ID": proxy_id or f"{service}-sidecar-proxy",
        "Service": f"{service}-sidecar-proxy",
        "Tags": [],
        "Meta": {},
        "Port": 21000,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "ContentHash": "d910a850f7d70916",
        "Proxy": {
            "DestinationServiceName": destination or service,
            "DestinationServiceID": service,
            "LocalServiceAddress": "127.0.0.1",
            "LocalServicePort": 8080,
            "Upstreams": upstreams,
            "MeshGateway": {},
            "Expose": {},
        },
    }


def plain_service(service: str = "web") -> dict[str, Any]:
    """``agent/service/:id`` of a service that is no proxy."""
    return {"ID": service, "Service": service, "Tags": None, "Meta": None, "Port": 8080, "Address": ""}


def roots(*names: str) -> dict[str, Any]:
    """``agent/connect/ca/roots``: the last one is active."""
    return {
        "ActiveRootID": names[-1],
        "TrustDomain": TRUST_DOMAIN.upper(),
        "Roots": [
            {
                "ID": name,
                "Name": "Consul CA Root Cert",
                "SerialNumber": 7,
                "RootCert": f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n",
                "IntermediateCerts": None,
                "Active": name == names[-1],
            }
            for name in names
        ],
    }


def leaf(
    service: str = "web",
    *,
    serial: str = "08",
    life: timedelta = timedelta(hours=72),
    begins: datetime | None = None,
) -> dict[str, Any]:
    """``agent/connect/ca/leaf/:service``."""
    begins = begins or datetime.now(UTC)
    return {
        "SerialNumber": serial,
        "CertPEM": f"-----BEGIN CERTIFICATE-----\n{serial}\n-----END CERTIFICATE-----\n",
        "PrivateKeyPEM": "-----BEGIN EC PRIVATE KEY-----\nTOP-SECRET\n-----END EC PRIVATE KEY-----\n",
        "Service": service,
        "ServiceURI": f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/{service}",
        "ValidAfter": begins.isoformat().replace("+00:00", "Z"),
        "ValidBefore": (begins + life).isoformat().replace("+00:00", "Z"),
        "CreateIndex": 14,
        "ModifyIndex": 14,
    }


def intention(source: str, destination: str, action: str, *, number: int = 1) -> dict[str, Any]:
    """One of ``connect/intentions``."""
    return {
        "ID": f"00000000-0000-0000-0000-{number:012d}",
        "SourceNS": "default",
        "SourceName": source,
        "DestinationNS": "default",
        "DestinationName": destination,
        "SourceType": "consul",
        "Action": action,
        "Meta": {},
        "Precedence": 9,
    }


def instance(
    service: str = "db",
    *,
    port: int = 21001,
    status: str = "passing",
    native: bool = False,
    address: str = "",
) -> dict[str, Any]:
    """One of ``health/connect/:service``."""
    kind: dict[str, Any] = {"Connect": {"Native": True}, "ID": f"{service}-{port}", "Service": service}
    if not native:
        kind = {
            "Kind": "connect-proxy",
            "ID": f"{service}-{port}-sidecar-proxy",
            "Service": f"{service}-sidecar-proxy",
            "Proxy": {"DestinationServiceName": service},
            "Connect": {},
        }
    return {
        "Node": {"Node": "node1", "Address": "127.0.0.1", "Datacenter": "dc1"},
        "Service": {"Address": address, "Port": port, "Weights": {"Passing": 3, "Warning": 2}, **kind},
        "Checks": [{"Status": "passing"}, {"Status": status}],
    }
