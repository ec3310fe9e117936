"""``GET /v1/agent/connect/proxy/:id``: what a managed proxy is shown of itself. Pure.

Shape and keys are Consul 1.2 to 1.5's, so that a daemon written for those runs unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connect_proxy.managed.definitions.configuration import ManagedProxy
from connect_proxy.managed.registrations import filled_config, upstream_body
from connect_proxy.mesh.immutable import EMPTY, thawed
from connect_proxy.mesh.registration import SERVICE, Upstream

EXEC_MODE: Final = "daemon"
"""The only way in which Consul 1.2 started proxies, and so do we."""
HASH_LENGTH: Final = 16
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - told, not listened on
"""Consul's own ``bind_addr`` where the files give none: daemons of its time count on an address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedProxy:
    """A managed proxy as the API shows and authorises it."""

    proxy: ManagedProxy
    port: int
    token_hash: str
    """SHA-256 of the token that it was started with (``ProxyToken.hash``, ``ProxyRecord.token_hash``)."""
    token_is_local: bool
    """``ProxyToken.is_local``: Consul does not know that token."""
    command: tuple[str, ...] = ()
    """What it is started with, where its definition names no command."""


def proxy_view(
    published: PublishedProxy, *, bind_address: str = "", telemetry: Mapping[str, Any] = EMPTY
) -> dict[str, Any]:
    """The answer's body. *bind_address*: the agent's own, for a proxy that names none; *telemetry* too."""
    proxy = published.proxy
    config = filled_config(proxy, port=published.port, bind_address=bind_address or EVERYWHERE)
    if proxy.upstreams and "upstreams" not in config:
        # Where Consul 1.2 had them: its daemons look nowhere else.
        config["upstreams"] = [_upstream_config(upstream) for upstream in proxy.upstreams]
    config["telemetry"] = telemetry_of(proxy, telemetry)
    return {
        "ProxyServiceID": proxy.id,
        "TargetServiceID": proxy.service_id,
        "TargetServiceName": proxy.service_name,
        "ContentHash": content_hash(published),
        "ExecMode": EXEC_MODE,
        "Command": list(proxy.command or published.command),
        "Config": config,
        "Upstreams": [upstream_body(upstream) for upstream in proxy.upstreams],
    }


def telemetry_of(proxy: ManagedProxy, agents: Mapping[str, Any]) -> Any:
    """The agent's own settings with a prefix for this proxy; what its config says comes before them.

    Keys and defaults: Consul 1.2's ``telemetry``, whose ``prefix_filter`` became two lists.
    """
    said = proxy.config.get("telemetry", {})
    if not isinstance(said, Mapping):
        return thawed(said)
    settings: dict[str, Any] = {"filter_default": True, **thawed(agents)}
    rules = [str(rule) for rule in settings.pop("prefix_filter", ())]
    for key, sign in (("allowed_prefixes", "+"), ("blocked_prefixes", "-")):
        if prefixes := [rule[1:] for rule in rules if rule.startswith(sign)]:
            settings[key] = prefixes
    settings["metrics_prefix"] = f"{settings.get('metrics_prefix', 'consul')}.proxy.{proxy.service_id}"
    return {**settings, **thawed(said)}


def content_hash(published: PublishedProxy) -> str:
    """Opaque; changes exactly when what the files say of the proxy, or its port, does."""
    proxy = published.proxy
    parts = [
        proxy.service_id,
        proxy.service_name,
        list(proxy.command),
        thawed(proxy.config),
        [upstream_body(upstream) for upstream in proxy.upstreams],
        published.port,
        proxy.service_port,
    ]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def _upstream_config(upstream: Upstream) -> dict[str, Any]:
    config: dict[str, Any] = {
        "destination_name": upstream.destination_name,
        "local_bind_port": upstream.local_bind_port,
    }
    if upstream.destination_type != SERVICE:
        config["destination_type"] = upstream.destination_type
    if upstream.local_bind_address:
        config["local_bind_address"] = upstream.local_bind_address
    if upstream.datacenter:
        config["destination_datacenter"] = upstream.datacenter
    return config
