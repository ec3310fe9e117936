from __future__ import annotations

import pytest

from connect_proxy.mesh.registration import Upstream
from connect_proxy_builtin.exposures import exposures
from connect_proxy_builtin.policy import plane_policy
from support.builtin_sidecar import first_snapshot
from support.mesh_ca import MeshCa


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_nothing_is_said_of_loopback(mesh_ca: MeshCa, address: str) -> None:
    upstream = Upstream(destination_name="db", local_bind_address=address, local_bind_port=1)
    snapshot = first_snapshot(
        mesh_ca, "web", public_port=1, local_service_address=address, upstreams=[(upstream, [])]
    )
    assert list(exposures(plane_policy(snapshot))) == []


def test_addresses_beyond_loopback_are_worth_a_warning(mesh_ca: MeshCa) -> None:
    upstream = Upstream(destination_name="db", local_bind_address="0.0.0.0", local_bind_port=1)
    snapshot = first_snapshot(
        mesh_ca, "web", public_port=1, local_service_address="10.0.0.9", upstreams=[(upstream, [])]
    )
    first, second = exposures(plane_policy(snapshot))
    assert "'db'" in first
    assert "10.0.0.9" in second
