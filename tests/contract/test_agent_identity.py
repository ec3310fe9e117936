"""Who the agent is: ``/v1/agent/self`` and ``/v1/status/...``."""

from __future__ import annotations

import re

import pytest

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract


def test_agent_self_names_node_datacenter_and_version(agent: AgentUnderTest) -> None:
    config = agent.api.get("/v1/agent/self").json["Config"]
    assert (config["NodeName"], config["Datacenter"], config["Server"]) == ("node1", "dc1", True)
    assert re.match(r"\d+\.\d+\.\d+", config["Version"])


def test_agent_self_tells_where_xds_is_served(agent: AgentUnderTest) -> None:
    debug = agent.api.get("/v1/agent/self").json["DebugConfig"]
    assert isinstance(debug["GRPCPort"], int)
    assert isinstance(debug["GRPCAddrs"], list)


def test_the_leader_is_an_address(agent: AgentUnderTest) -> None:
    leader = agent.api.get("/v1/status/leader").json
    assert re.fullmatch(r"127\.0\.0\.1:\d+", leader)
    assert agent.api.get("/v1/status/peers").json == [leader]


def test_the_agent_is_a_living_member(agent: AgentUnderTest) -> None:
    (member,) = agent.api.get("/v1/agent/members").json
    assert (member["Name"], member["Status"]) == ("node1", 1)
