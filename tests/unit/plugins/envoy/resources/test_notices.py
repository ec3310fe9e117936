"""What an operator is told of a registration that Envoy cannot carry out as it was meant."""

from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.mesh.intentions import Permission
from connect_proxy_envoy.resources.notices import notices
from support.envoy_snapshot import intention, snapshot

PERMISSIONS = (Permission(allow=True, path_prefix="/"),)


def test_nothing_is_said_of_what_is_carried_out() -> None:
    rules = [intention("api", allow=True), intention("cron", allow=False)]
    assert notices(snapshot(intentions=rules, expose={"Checks": False, "Paths": []})) == ()


@pytest.mark.parametrize("checks", [True, "true", 1])
def test_exposed_checks_are_told_with_the_way_out(checks: Any) -> None:
    [notice] = notices(snapshot(expose={"Checks": checks}))
    assert "Proxy.Expose.Paths" in notice


@pytest.mark.parametrize(("protocol", "told"), [("tcp", True), ("http", False), ("grpc", False)])
def test_permissions_count_as_a_denial_on_a_service_of_bytes(protocol: str, told: bool) -> None:
    rules = [intention("api", allow=False, permissions=PERMISSIONS)]
    found = notices(snapshot(config={"protocol": protocol}, intentions=rules))
    assert bool(found) is told
    if told:
        assert "'api' for 'web' has permissions for HTTP requests" in found[0]


def test_a_condition_that_is_not_understood_is_named() -> None:
    rules = [intention("api", allow=False, not_understood=("JWT", "PathGlob"))]
    [notice] = notices(snapshot(config={"protocol": "http"}, intentions=rules))
    assert "(JWT, PathGlob)" in notice


def test_a_source_in_another_cluster_is_told() -> None:
    [notice] = notices(snapshot(intentions=[intention("api", allow=True, source_peer="east")]))
    assert "peered cluster 'east'" in notice
