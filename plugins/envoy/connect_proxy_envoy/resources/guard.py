"""Who may come in, as the parts of a listener that see to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from connect_proxy.snapshot.snapshot import ProxySnapshot
from connect_proxy_envoy.resources.admission import admitted
from connect_proxy_envoy.resources.http_rbac import http_rbac_rules
from connect_proxy_envoy.resources.protocol import Protocol
from connect_proxy_envoy.resources.rbac import rbac_rules
from connect_proxy_envoy.resources.tls import downstream_tls
from connect_proxy_envoy.resources.type_urls import EXTENSION, HTTP_MANAGER, HTTP_RBAC_FILTER, RBAC_FILTER

REQUEST_FILTER: Final = "envoy.filters.http.rbac"
"""The filter, and the resource that its rules come in."""
_HTTP_FILTERS: Final = ("httpFilters", "http_filters")


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """The intentions for one service. Connections and requests are decided by one of them, never both."""

    rules: dict[str, Any] = field(hash=False)
    """RBAC for connections."""
    http_rules: dict[str, Any] = field(hash=False)
    """RBAC for requests: of HTTP services, as with Consul a denied caller gets a 403."""
    admitted: tuple[str, ...] | None
    """What ``rules`` say, at the handshake (:func:`~.admission.admitted`)."""

    def transport(self, protocol: Protocol) -> dict[str, Any]:
        """The TLS around a chain. Only a TCP application may speak before its caller does."""
        return downstream_tls(protocol.alpn, admitted=None if protocol.is_http else self.admitted)

    def of_connections(self) -> dict[str, Any]:
        """The first filter of a chain of bytes."""
        config = {"@type": RBAC_FILTER, "rules": self.rules, "statPrefix": "connect_authz"}
        return {"name": "envoy.filters.network.rbac", "typedConfig": config}

    def of_requests(self) -> dict[str, Any]:
        """The first HTTP filter of a chain that reads requests.

        Its rules come apart from the listener (ECDS): requests on connections that are open already
        are decided by the new ones too, not by those of the connection's time.
        """
        source = {"ads": {}, "resourceApiVersion": "V3", "initialFetchTimeout": "0s"}
        discovery = {"configSource": source, "typeUrls": [HTTP_RBAC_FILTER]}
        return {"name": REQUEST_FILTER, "configDiscovery": discovery}

    def rules_of_requests(self) -> dict[str, Any]:
        """``envoy.config.core.v3.TypedExtensionConfig`` for that filter."""
        config = {"@type": HTTP_RBAC_FILTER, "rules": self.http_rules}
        return {"@type": EXTENSION, "name": REQUEST_FILTER, "typedConfig": config}

    @property
    def name(self) -> str:
        """Of a chain that reads requests: other rules, another chain. Envoy drains the old one, which
        ends what a caller has running that was cut off."""
        text = json.dumps(self.http_rules, sort_keys=True)
        return f"intentions-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def put_into(self, chain: dict[str, Any], protocol: Protocol) -> None:
        """Put TLS and authorisation into a *chain* of somebody else's listener.

        Where a chain of an HTTP service reads no requests, its connections are decided.
        """
        chain.pop("transport_socket", None)
        managers = list(_http_managers(chain)) if protocol.is_http else []
        chain["transportSocket"] = self.transport(protocol)
        for manager in managers:
            key = next((key for key in _HTTP_FILTERS if key in manager), _HTTP_FILTERS[0])
            manager[key] = [self.of_requests(), *manager.get(key, [])]
        if not managers:
            chain["filters"] = [self.of_connections(), *chain.get("filters", [])]


def guard_of(snapshot: ProxySnapshot, trust_domain: str) -> Guard:
    """The guard for a snapshot's intentions."""
    intentions, default = snapshot.intentions, snapshot.default_allow
    return Guard(
        rules=rbac_rules(intentions, default_allow=default, trust_domain=trust_domain),
        http_rules=http_rbac_rules(intentions, default_allow=default, trust_domain=trust_domain),
        admitted=admitted(intentions, default_allow=default, trust_domain=trust_domain),
    )


def _http_managers(chain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in chain.get("filters", []):
        config = each.get("typedConfig", each.get("typed_config")) if isinstance(each, dict) else None
        if isinstance(config, dict) and config.get("@type") == HTTP_MANAGER:
            yield config
