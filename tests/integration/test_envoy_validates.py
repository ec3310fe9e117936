"""Real Envoys accept what we render: bootstraps, and all resources of every case, put in statically."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connect_proxy.mesh.immutable import thawed
from connect_proxy_envoy.bootstrap import render
from connect_proxy_envoy.resources.resource import Resource
from connect_proxy_envoy.resources.sidecar import sidecar_resources
from connect_proxy_envoy.resources.type_urls import CLUSTER, EXTENSION, LISTENER, SECRET
from connect_proxy_envoy.version import Version
from support.envoy_cases import CASES
from support.envoy_context import context, facts
from support.envoy_snapshot import snapshot
from support.golden import FOLDER
from support.mesh_ca import MeshCa
from support.real_parts import envoy_binary, envoys_under_test

pytestmark = pytest.mark.integration

VERSIONS = envoys_under_test()
BOOTSTRAPS = sorted(
    path.name.removesuffix(".json")
    for path in (FOLDER / "envoy/bootstrap").glob("*.json")
    if not path.name.startswith("v2")
)
NEED_FILES = {"prometheus-backend-tls"}
"""Name certificate files that Envoy would read."""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", [case for case in BOOTSTRAPS if case not in NEED_FILES])
def test_envoy_accepts_the_bootstrap(case: str, version: str) -> None:
    _accepted(FOLDER / f"envoy/bootstrap/{case}.json", version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_envoy_accepts_the_resources(case: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(_static_rendering(case, version)))
    _accepted(path, version)


def _static_rendering(case: str, version: str) -> Any:
    """The bootstrap of local xDS with the resources inside; EDS still refers to ADS.

    Secrets do not: a static cluster is made before there is a stream to ask on.
    """
    resources = sidecar_resources(
        snapshot(**CASES[case], ca=MeshCa()), Version(*(int(part) for part in version.split(".")))
    )
    document = thawed(render(context(host=facts(grpc=None))).document)
    for key, url in (("clusters", CLUSTER), ("listeners", LISTENER), ("secrets", SECRET)):
        static = document["static_resources"].setdefault(key, [])
        for resource in resources.of_type(url).values():
            static.append(
                {
                    name: _static(value, resources.of_type(EXTENSION))
                    for name, value in resource.body.items()
                    if name != "@type"
                }
            )
    return document


def _static(value: Any, extensions: Mapping[str, Resource]) -> Any:
    """*value* with its secrets and filters found in the bootstrap itself."""
    if isinstance(value, list):
        return [_static(item, extensions) for item in value]
    if not isinstance(value, dict):
        return value
    if "configDiscovery" in value:
        return {"name": value["name"], "typedConfig": extensions[value["name"]].body["typedConfig"]}
    return {key: _static(item, extensions) for key, item in value.items() if key != "sdsConfig"}


def _accepted(path: Path, version: str) -> None:
    answer = subprocess.run(
        [envoy_binary(version), "--mode", "validate", "--config-path", path, "-l", "error"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
