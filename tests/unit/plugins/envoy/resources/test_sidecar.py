"""All resources of one sidecar, case by case, against golden files."""

from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy_envoy.resources.resource import ResourceSet
from connect_proxy_envoy.resources.sidecar import sidecar_resources
from connect_proxy_envoy.resources.type_urls import CLUSTER, LISTENER, ORDER, SECRET
from connect_proxy_envoy.version import Version
from support.envoy_cases import CASES, DB
from support.envoy_snapshot import snapshot
from support.golden import check_golden


@pytest.mark.parametrize("case", CASES)
def test_the_resources_are_as_they_were_read_over(case: str) -> None:
    resources = sidecar_resources(snapshot(**CASES[case]))
    check_golden(f"envoy/resources/{case}", {_kind(url): _bodies(resources, url) for url in ORDER})


def test_an_envoy_before_1_37_is_not_told_when_to_connect() -> None:
    for version, told in ((Version(1, 36, 9), False), (Version(1, 37), True)):
        resources = sidecar_resources(snapshot(), version)
        [chain] = resources.of_type(LISTENER)["public_listener:0.0.0.0:21000"].body["filterChains"]
        assert ("upstreamConnectMode" in chain["filters"][-1]["typedConfig"]) is told


def test_a_new_leaf_re_sends_the_secret_and_nothing_else() -> None:
    before = sidecar_resources(snapshot(upstreams=[DB], found={"db": []}))
    after = sidecar_resources(snapshot(upstreams=[DB], found={"db": []}, roots=["ROOT PEM\n", "NEW\n"]))
    changed = {
        (_kind(url), name)
        for url in ORDER
        for name, resource in after.of_type(url).items()
        if before.of_type(url)[name].version != resource.version
    }
    assert changed == {("Secret", "roots")}


def test_roots_are_joined_by_newlines() -> None:
    resources = sidecar_resources(snapshot(roots=["A", "B\n"]))
    roots = resources.of_type(SECRET)["roots"].body["validationContext"]["trustedCa"]["inlineString"]
    assert roots == "A\nB\n"


def test_the_key_is_not_shown() -> None:
    assert "KEY PEM" not in repr(sidecar_resources(snapshot()))


def test_an_own_public_listener_still_asks_for_the_certificate_and_the_intentions_first() -> None:
    resources = sidecar_resources(snapshot(**CASES["escape-hatches"]))
    for chain in resources.of_type(LISTENER)["own_public"].body["filterChains"]:
        assert chain["filters"][0]["name"] == "envoy.filters.network.rbac"
        assert chain["transportSocket"]["typedConfig"]["requireClientCertificate"] is True


def test_an_own_upstream_cluster_still_checks_the_identity() -> None:
    resources = sidecar_resources(snapshot(**CASES["escape-hatches"]))
    cluster = resources.of_type(CLUSTER)["mine"].body
    context = cluster["transportSocket"]["typedConfig"]["commonTlsContext"]["combinedValidationContext"]
    [matcher] = context["defaultValidationContext"]["matchTypedSubjectAltNames"]
    assert matcher["matcher"]["exact"].endswith("/svc/db")
    assert "transportSocketMatches" not in cluster


def test_no_upstream_accepts_any_certificate_of_the_mesh() -> None:
    for case in CASES.values():
        for cluster in sidecar_resources(snapshot(**case)).of_type(CLUSTER).values():
            if cluster.name == "local_app" or cluster.name.startswith("exposed_cluster_"):
                continue
            common = cluster.body["transportSocket"]["typedConfig"]["commonTlsContext"]
            names = common["combinedValidationContext"]["defaultValidationContext"]
            assert names["matchTypedSubjectAltNames"]
            assert all(entry["matcher"].keys() == {"exact"} for entry in names["matchTypedSubjectAltNames"])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"bind_port": "x"}, "bind_port"),
        ({"envoy_public_listener_json": "{"}, "envoy_public_listener_json"),
        ({"envoy_public_listener_json": '{"name": "a"}'}, "envoy_public_listener_json"),
        (
            {
                "envoy_public_listener_json": '{"name": "a", "@type": '
                '"type.googleapis.com/envoy.config.listener.v3.Listener"}'
            },
            "envoy_public_listener_json",
        ),
        ({"envoy_local_cluster_json": "[]"}, "envoy_local_cluster_json"),
        ({"max_inbound_connections": {}}, "max_inbound_connections"),
    ],
)
def test_a_bad_value_is_an_error_that_names_its_key(config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        sidecar_resources(snapshot(config=config))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ({"Path": "health", "ListenerPort": 1}, r"Paths\[0\]\.Path"),
        ({"Path": "/health"}, r"Paths\[0\]\.ListenerPort"),
        ({"Path": "/health", "ListenerPort": 70000}, "1 to 65535"),
    ],
)
def test_an_exposed_path_that_cannot_be_is_an_error_that_names_it(path: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        sidecar_resources(snapshot(expose={"Paths": [path]}))


def _bodies(resources: ResourceSet, type_url: str) -> list[Any]:
    return [resource.body for resource in resources.of_type(type_url).values()]


def _kind(type_url: str) -> str:
    return type_url.rpartition(".")[2]
