"""Envoy's node, and what ``-node-name`` means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect_proxy.errors import UsageError
from connect_proxy.mesh.immutable import thawed
from connect_proxy_envoy.bootstrap import render
from connect_proxy_envoy.node import wanted_node
from support.envoy_context import context, facts, options


def _metadata(**given: Any) -> list[tuple[str, str]]:
    document = thawed(render(context(**given)).document)
    return list(document["node"]["metadata"].items())


@pytest.mark.parametrize("v2", [False, True])
def test_the_nodes_name_is_the_first_of_its_metadata(v2: bool) -> None:
    host = facts(v2=v2)
    plain = _metadata(host=host)
    assert plain[0] == ("namespace", "default")
    assert _metadata(host=host, given={"node_name": "pod-1"}) == [("node_name", "pod-1"), *plain]


def test_a_template_sees_the_nodes_name() -> None:
    config = {"envoy_bootstrap_json_tpl": '{"node": {"metadata": {"node_name": "{{ .NodeName }}"}}}'}
    assert _metadata(config=config, given={"node_name": "pod-1"}) == [("node_name", "pod-1")]
    assert json.dumps(_metadata(config=config)) == '[["node_name", ""]]'


def test_without_the_option_no_node_is_wanted() -> None:
    assert wanted_node(options()) is None
    assert wanted_node(options(xds="local", register=True)) is None


@pytest.mark.parametrize("xds", ["auto", "agent"])
def test_the_option_names_the_node(xds: str) -> None:
    assert wanted_node(options(node_name="pod-1", xds=xds)) == "pod-1"


def test_a_node_and_a_registration_at_an_agent_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"-node-name 'pod-1'.*-register.*leave one of the two out"):
        wanted_node(options(node_name="pod-1", gateway="mesh", register=True))


def test_a_node_and_local_xds_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"-xds local.*-node-name 'pod-1'.*leave -xds local out"):
        wanted_node(options(node_name="pod-1", xds="local"))
