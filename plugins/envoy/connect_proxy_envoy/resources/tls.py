"""Mutual TLS in both directions. Certificates come by SDS, so their rotation re-sends nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connect_proxy_envoy.resources.names import LEAF_SECRET, ROOTS_SECRET
from connect_proxy_envoy.resources.type_urls import DOWNSTREAM_TLS, UPSTREAM_TLS

_OVER_ADS: Final = {"ads": {}, "resourceApiVersion": "V3", "initialFetchTimeout": "0s"}
"""No time-out: a listener without its certificate is of no use."""


def downstream_tls(alpn: Sequence[str] = ()) -> dict[str, Any]:
    """The public listener's transport socket: our leaf is shown, theirs must be of the mesh."""
    common: dict[str, Any] = {
        "tlsParams": {},
        "tlsCertificateSdsSecretConfigs": [_secret(LEAF_SECRET)],
        "validationContextSdsSecretConfig": _secret(ROOTS_SECRET),
    }
    if alpn:
        common["alpnProtocols"] = list(alpn)
    return _socket(DOWNSTREAM_TLS, {"commonTlsContext": common, "requireClientCertificate": True})


def upstream_tls(sni: str, identities: Sequence[str], alpn: Sequence[str] = ()) -> dict[str, Any]:
    """An upstream's transport socket: only *identities* (SPIFFE URIs, never empty) may answer."""
    assert identities, "an empty list would accept any certificate of the mesh"
    matchers = [{"sanType": "URI", "matcher": {"exact": uri}} for uri in identities]
    common: dict[str, Any] = {
        "tlsParams": {},
        "tlsCertificateSdsSecretConfigs": [_secret(LEAF_SECRET)],
        "combinedValidationContext": {
            "defaultValidationContext": {"matchTypedSubjectAltNames": matchers},
            "validationContextSdsSecretConfig": _secret(ROOTS_SECRET),
        },
    }
    if alpn:
        common["alpnProtocols"] = list(alpn)
    return _socket(UPSTREAM_TLS, {"commonTlsContext": common, "sni": sni})


def _secret(name: str) -> dict[str, Any]:
    return {"name": name, "sdsConfig": dict(_OVER_ADS)}


def _socket(kind: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": "tls", "typedConfig": {"@type": kind, **context}}
