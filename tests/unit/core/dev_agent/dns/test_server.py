import asyncio

import dns.asyncquery
import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.dns.resolver import Resolver
from connect_proxy.dev_agent.dns.server import DnsServer, respond
from connect_proxy.dev_agent.records import ServiceRecord
from connect_proxy.errors import PortInUseError
from support.dev_agent_parts import agent_state

INSTANCES = 60


def resolver_of_many() -> Resolver:
    state = agent_state()
    for number in range(INSTANCES):
        state.catalog.put_service(
            ServiceRecord(id=f"web-{number}", name="web", port=80, address=f"10.0.0.{number}")
        )
    return Resolver(catalog=state.catalog, queries=state.queries)


RESOLVER = resolver_of_many()


def over(transport: str, host: str) -> dns.message.Message:
    async def run() -> dns.message.Message:
        server = DnsServer(RESOLVER)
        port = await server.start(host, 0)
        query = dns.message.make_query("web.service.consul", "A")
        ask = dns.asyncquery.tcp if transport == "tcp" else dns.asyncquery.udp
        try:
            return await ask(query, host, port=port, timeout=60)
        finally:
            await server.stop()

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tcp_gives_the_whole_answer(host: str) -> None:
    response = over("tcp", host)
    assert sum(len(record) for record in response.answer) == INSTANCES
    assert not response.flags & dns.flags.TC


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_udp_gives_what_fits_and_says_that_there_is_more(host: str) -> None:
    response = over("udp", host)
    assert 0 < sum(len(record) for record in response.answer) < INSTANCES
    assert response.flags & dns.flags.TC


@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_a_client_that_takes_more_gets_more(kind: str) -> None:
    sizes = []
    for payload in (512, 1232, 4096):
        query = dns.message.make_query("web.service.consul", kind, use_edns=0, payload=payload)
        wire = respond(RESOLVER, query.to_wire(), over_tcp=False)
        assert wire is not None
        assert len(wire) <= payload
        sizes.append(len(wire))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_an_answer_is_not_answered() -> None:
    response = dns.message.make_response(dns.message.make_query("web.service.consul", "A"))
    assert respond(RESOLVER, response.to_wire(), over_tcp=False) is None


@given(st.binary(max_size=80))
def test_any_datagram_is_answered_or_dropped(wire: bytes) -> None:
    answer = respond(RESOLVER, wire, over_tcp=False)
    assert answer is None or dns.message.from_wire(answer).flags & dns.flags.QR


def test_a_taken_port_is_an_error_that_names_it() -> None:
    async def run() -> None:
        first, second = DnsServer(RESOLVER), DnsServer(RESOLVER)
        port = await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(PortInUseError, match=f"DNS port {port} on '127.0.0.1'"):
                await second.start("127.0.0.1", port)
        finally:
            await first.stop()
            await second.stop()

    asyncio.run(run())
