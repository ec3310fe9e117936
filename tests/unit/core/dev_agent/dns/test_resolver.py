import dns.flags
import dns.message
import dns.rcode
import pytest

from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.dev_agent.records import (
    CRITICAL,
    WARNING,
    CheckRecord,
    ProxyRecord,
    ServiceRecord,
    Weights,
)
from support.dev_agent_parts import agent_state


@pytest.fixture
def resolver() -> Resolver:
    state = agent_state()
    for service in (
        ServiceRecord(id="web", name="web", port=80, tags=("V1",), weights=Weights(passing=5, warning=2)),
        ServiceRecord(id="web2", name="web", port=81, address="10.0.0.2"),
        ServiceRecord(id="six", name="six", port=82, address="fd00::1"),
        ServiceRecord(id="host", name="host", port=83, address="host.example"),
        ServiceRecord(id="down", name="down", port=84),
        ServiceRecord(
            id="proxy",
            name="proxy",
            port=20000,
            kind="connect-proxy",
            proxy=ProxyRecord(destination_service_name="Web"),
        ),
    ):
        state.catalog.put_service(service)
    state.catalog.put_check(
        CheckRecord(id="c", name="c", status=CRITICAL, service_id="down", service_name="down")
    )
    state.queries.create({"Name": "near", "Service": {"Service": "six"}})
    return Resolver(catalog=state.catalog, queries=state.queries)


def ask(resolver: Resolver, name: str, kind: str = "A") -> dns.message.Message:
    return resolver.answer(dns.message.make_query(name, kind))


def texts(response: dns.message.Message, section: str = "answer") -> set[str]:
    """``name type data`` of every record."""
    return {
        f"{record.name} {dns.rdatatype.to_text(record.rdtype)} {data}"
        for record in getattr(response, section)
        for data in record
    }


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("web.service.consul.", "A", {"A 127.0.0.1", "A 10.0.0.2"}),
        ("WEB.service.DC1.consul.", "ANY", {"A 127.0.0.1", "A 10.0.0.2"}),
        ("v1.web.service.consul.", "A", {"A 127.0.0.1"}),
        ("web.connect.consul.", "A", {"A 127.0.0.1"}),
        ("web.connect.consul.", "SRV", {"SRV 1 1 20000 node1.node.dc1.consul."}),
        ("v1.web.service.consul.", "SRV", {"SRV 1 5 80 node1.node.dc1.consul."}),
        ("_web._v1.service.consul.", "SRV", {"SRV 1 5 80 node1.node.dc1.consul."}),
        ("six.service.consul.", "AAAA", {"AAAA fd00::1"}),
        (
            "six.service.consul.",
            "SRV",
            {"SRV 1 1 82 fd000000000000000000000000000001.addr.dc1.consul."},
        ),
        ("host.service.consul.", "A", {"CNAME host.example."}),
        ("host.service.consul.", "SRV", {"SRV 1 1 83 host.example."}),
        ("near.query.consul.", "AAAA", {"AAAA fd00::1"}),
        ("node1.node.consul.", "A", {"A 127.0.0.1"}),
        ("node1.node.dc1.consul.", "ANY", {"A 127.0.0.1", 'TXT "consul-network-segment="'}),
        ("7f000001.addr.consul.", "A", {"A 127.0.0.1"}),
        ("1.0.0.127.in-addr.arpa.", "PTR", {"PTR node1.node.dc1.consul."}),
        ("2.0.0.10.in-addr.arpa.", "PTR", {"PTR web.service.consul."}),
        ("consul.", "NS", {"NS node1.node.dc1.consul."}),
    ],
)
def test_a_question_gets_the_catalogs_answer(
    resolver: Resolver, name: str, kind: str, answer: set[str]
) -> None:
    response = ask(resolver, name, kind)
    asked = "consul." if kind == "NS" else name
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA
    assert texts(response) == {f"{asked} {record}" for record in answer}


@pytest.mark.parametrize(
    "name",
    [
        "nosuch.service.consul",
        "down.service.consul",
        "v2.web.service.consul",
        "web.service.dc9.consul",
        "nosuch.connect.consul",
        "six.connect.consul",
        "nosuch.node.consul",
        "nosuch.query.consul",
        "zz.addr.consul",
        "connect.consul",
        "consul",
    ],
)
def test_what_is_not_there_is_nxdomain_with_a_start_of_authority(resolver: Resolver, name: str) -> None:
    response = ask(resolver, name)
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert not response.answer
    (authority,) = texts(response, "authority")
    assert authority.startswith("consul. SOA ns.consul. hostmaster.consul. ")


@pytest.mark.parametrize("name", ["six.service.consul", "near.query.consul"])
def test_a_name_without_records_of_the_type_has_an_empty_answer(resolver: Resolver, name: str) -> None:
    response = ask(resolver, name)
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer
    assert len(response.authority) == 1


def test_a_service_record_comes_with_the_address_of_its_target(resolver: Resolver) -> None:
    assert texts(ask(resolver, "six.service.consul", "SRV"), "additional") >= {
        "fd000000000000000000000000000001.addr.dc1.consul. AAAA fd00::1"
    }


def test_a_warning_instance_has_its_lower_weight(resolver: Resolver) -> None:
    resolver.catalog.put_check(
        CheckRecord(id="w", name="w", status=WARNING, service_id="web", service_name="web")
    )
    assert texts(ask(resolver, "v1.web.service.consul", "SRV")) == {
        "v1.web.service.consul. SRV 1 2 80 node1.node.dc1.consul."
    }


def test_names_that_dns_cannot_carry_are_a_server_failure(resolver: Resolver) -> None:
    resolver.catalog.put_service(ServiceRecord(id="odd", name="odd", address="not a..host"))
    assert ask(resolver, "odd.service.consul").rcode() == dns.rcode.SERVFAIL


def test_names_outside_the_domain_are_refused(resolver: Resolver) -> None:
    assert ask(resolver, "example.com").rcode() == dns.rcode.REFUSED


def test_a_message_without_one_question_is_malformed(resolver: Resolver) -> None:
    assert resolver.answer(dns.message.QueryMessage()).rcode() == dns.rcode.FORMERR
