"""Mutual TLS in both directions. Certificates come by SDS, so their rotation re-sends nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connect_proxy_envoy.resources.names import LEAF_SECRET, NO_IDENTITY, ROOTS_SECRET
from connect_proxy_envoy.resources.type_urls import DOWNSTREAM_TLS, UPSTREAM_TLS

_OVER_ADS: Final = {"ads": {}, "resourceApiVersion": "V3", "initialFetchTimeout": "0s"}
"""No time-out: a listener without its certificate is of no use."""


def downstream_tls(alpn: Sequence[str] = (), *, admitted: Sequence[str] | None = None) -> dict[str, Any]:
    """The public listener's transport socket: our leaf is shown, theirs must be of the mesh.

    *admitted*: expressions of which one has to match the caller's URI; empty takes nobody, None
    every certificate of the mesh.
    """
    common: dict[str, Any] = {
        "tlsParams": {},
        "tlsCertificateSdsSecretConfigs": [_secret(LEAF_SECRET)],
    }
    if admitted is None:
        common["validationContextSdsSecretConfig"] = _secret(ROOTS_SECRET)
    else:
        callers = [{"safeRegex": {"regex": pattern}} for pattern in admitted]
        common |= _validation(callers or [{"exact": NO_IDENTITY}])
    if alpn:
        common["alpnProtocols"] = list(alpn)
    return _socket(DOWNSTREAM_TLS, {"commonTlsContext": common, "requireClientCertificate": True})


def upstream_tls(sni: str, identities: Sequence[str], alpn: Sequence[str] = ()) -> dict[str, Any]:
    """An upstream's transport socket: only *identities* (SPIFFE URIs, never empty) may answer."""
    assert identities, "an empty list would accept any certificate of the mesh"
    common: dict[str, Any] = {
        "tlsParams": {},
        "tlsCertificateSdsSecretConfigs": [_secret(LEAF_SECRET)],
        **_validation([{"exact": uri} for uri in identities]),
    }
    if alpn:
        common["alpnProtocols"] = list(alpn)
    return _socket(UPSTREAM_TLS, {"commonTlsContext": common, "sni": sni})


def _validation(uris: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The roots by SDS, and matchers of which one has to match a URI of the certificate."""
    matchers = [{"sanType": "URI", "matcher": matcher} for matcher in uris]
    return {
        "combinedValidationContext": {
            "defaultValidationContext": {"matchTypedSubjectAltNames": matchers},
            "validationContextSdsSecretConfig": _secret(ROOTS_SECRET),
        }
    }


def _secret(name: str) -> dict[str, Any]:
    return {"name": name, "sdsConfig": dict(_OVER_ADS)}


def _socket(kind: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": "tls", "typedConfig": {"@type": kind, **context}}
