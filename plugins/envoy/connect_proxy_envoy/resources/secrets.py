"""Leaf and roots as SDS secrets."""

from __future__ import annotations

from typing import Any

from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_envoy.resources.names import LEAF_SECRET, ROOTS_SECRET
from connect_proxy_envoy.resources.type_urls import SECRET


def secrets(snapshot: ProxySnapshot) -> list[dict[str, Any]]:
    """``envoy.extensions.transport_sockets.tls.v3.Secret``: the leaf with its key, and all roots."""
    leaf = snapshot.leaf
    certificate = {
        "certificateChain": {"inlineString": leaf.certificate_pem},
        "privateKey": {"inlineString": leaf.private_key.reveal()},
    }
    return [
        {"@type": SECRET, "name": LEAF_SECRET, "tlsCertificate": certificate},
        {
            "@type": SECRET,
            "name": ROOTS_SECRET,
            "validationContext": {"trustedCa": {"inlineString": snapshot.roots.pem}},
        },
    ]
