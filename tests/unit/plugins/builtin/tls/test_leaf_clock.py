from __future__ import annotations

import dataclasses

import pytest

from connect_proxy_builtin.policy import TlsMaterial, tls_material
from connect_proxy_builtin.tls.leaf_clock import LeafClock
from support.builtin_sidecar import leaf_of, roots_of
from support.mesh_ca import MeshCa


@pytest.fixture
def leaf(mesh_ca: MeshCa) -> TlsMaterial:
    """Valid from 0 to 1000."""
    material = tls_material(leaf_of(mesh_ca.leaf("web"), "web"), roots_of(mesh_ca))
    return dataclasses.replace(material, valid_after=0.0, valid_before=1000.0)


def test_without_a_leaf_nothing_is_valid() -> None:
    clock = LeafClock()
    clock.look()
    assert not clock.is_valid
    assert clock.status() == {"valid": False}


def test_the_end_is_warned_of_once_and_told_once(
    leaf: TlsMaterial, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    clock = LeafClock(clock=lambda: now)
    clock.use(leaf)
    for now in (100.0, 899.0, 950.0, 960.0, 999.0):  # noqa: B007  (the clock reads it)
        clock.look()
        assert clock.is_valid
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for now in (1000.0, 1001.0, 2000.0):  # noqa: B007
        clock.look()
        assert not clock.is_valid
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_a_new_leaf_begins_anew(leaf: TlsMaterial, caplog: pytest.LogCaptureFixture) -> None:
    now = 1500.0
    clock = LeafClock(clock=lambda: now)
    clock.use(leaf)
    clock.look()
    clock.use(dataclasses.replace(leaf, valid_before=2000.0))
    assert clock.is_valid
    assert clock.status()["expires_in_s"] == 500
    now = 2000.0
    clock.look()
    assert len(caplog.records) == 2
