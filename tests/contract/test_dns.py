"""``<service>.connect.consul`` and plain service names over DNS."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from support.agents import AgentUnderTest
from support.catalog import wait_for_catalog

pytestmark = pytest.mark.contract


def _ask(agent: AgentUnderTest, name: str, kind: str = "SRV") -> dns.message.Message:
    host, _, port = agent.dns_address.rpartition(":")
    return dns.query.udp(dns.message.make_query(name, kind), host, port=int(port), timeout=60)


def _register_web(agent: AgentUnderTest, status: str = "passing") -> None:
    check = {"TTL": "60s", "Status": status}
    agent.api.register({"Name": "web", "Port": 8080, "Connect": {"SidecarService": {"Check": check}}})
    wait_for_catalog(agent.api)


def test_srv_gives_the_proxys_port(agent: AgentUnderTest) -> None:
    _register_web(agent)
    answer = _ask(agent, "web.connect.consul.")
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA
    ((record,),) = [list(records) for records in answer.answer]
    assert (record.priority, record.weight, record.port) == (1, 1, agent.sidecar_ports.first)
    assert record.target.to_text() == "node1.node.dc1.consul."
    assert answer.answer[0].ttl == 0
    addresses = [r for records in answer.additional for r in records if r.rdtype == dns.rdatatype.A]
    assert [record.address for record in addresses] == ["127.0.0.1"]


def test_a_gives_the_address(agent: AgentUnderTest) -> None:
    _register_web(agent)
    for name in ("web.connect.consul.", "web.connect.dc1.consul.", "foo.bar.web.connect.consul."):
        answer = _ask(agent, name, "A")
        assert [r.address for records in answer.answer for r in records] == ["127.0.0.1"], name


def test_plain_services_are_found_too(agent: AgentUnderTest) -> None:
    _register_web(agent)
    ((record,),) = [list(records) for records in _ask(agent, "web.service.consul.").answer]
    assert record.port == 8080


@pytest.mark.parametrize(
    "name", ["nobody.connect.consul.", "connect.consul.", "web.connect.dc9.consul.", "web.tubes.consul."]
)
def test_what_does_not_exist_is_nxdomain_with_soa(agent: AgentUnderTest, name: str) -> None:
    _register_web(agent)
    answer = _ask(agent, name)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert [records.rdtype for records in answer.authority] == [dns.rdatatype.SOA]


def test_a_critical_proxy_is_not_given(agent: AgentUnderTest) -> None:
    _register_web(agent, "critical")
    assert _ask(agent, "web.connect.consul.").rcode() == dns.rcode.NXDOMAIN


def test_a_proxy_with_a_warning_is_given(agent: AgentUnderTest) -> None:
    _register_web(agent, "warning")
    assert _ask(agent, "web.connect.consul.").rcode() == dns.rcode.NOERROR
