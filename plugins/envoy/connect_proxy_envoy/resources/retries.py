"""What happens when an upstream's instance cannot be connected to: another one is tried.

Consul leaves Envoy's default, one attempt: an instance that has just died is then an error until its
check fails. Only connecting is repeated, never what was sent.
"""

from __future__ import annotations

from typing import Any, Final

from connect_proxy_envoy.resources.type_urls import PREVIOUS_HOSTS

UPSTREAM_ATTEMPTS: Final = 3
"""Instances that are tried for one connection or request."""


def retry_policy() -> dict[str, Any]:
    """``envoy.config.route.v3.RetryPolicy`` of an upstream's route: not the same instance again."""
    predicate = {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typedConfig": {"@type": PREVIOUS_HOSTS},
    }
    return {
        "retryOn": "connect-failure",
        "numRetries": UPSTREAM_ATTEMPTS - 1,
        "retryHostPredicate": [predicate],
        "hostSelectionRetryMaxAttempts": "3",
    }
