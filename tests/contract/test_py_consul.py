"""py-consul, the Python client of Consul that others use, on both agents."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import consul
import pytest

from support.agents import AgentUnderTest
from support.processes import wait_until

pytestmark = pytest.mark.contract


@pytest.fixture
def client(agent: AgentUnderTest) -> Iterator[Any]:
    host, _, port = agent.address.rpartition(":")
    made = consul.Consul(host=host, port=int(port))
    yield made
    made.http.session.close()


def test_a_service_is_registered_found_and_deregistered(client: Any) -> None:
    assert client.agent.service.register("web", service_id="web-1", port=80, check=consul.Check.ttl("60s"))
    assert client.agent.check.ttl_pass("service:web-1")
    assert set(client.agent.services()) == {"web-1"}
    wait_until(lambda: client.health.service("web", passing=True)[1], "the passing service is found")
    (entry,) = client.catalog.service("web")[1]
    assert (entry["ServiceID"], entry["ServicePort"]) == ("web-1", 80)
    assert client.agent.service.deregister("web-1")
    assert client.agent.services() == {}


def test_a_blocking_query_is_woken(client: Any) -> None:
    index, entries = client.health.service("web")
    assert entries == []
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(client.health.service, "web", index=index, wait="20s")
        client.agent.service.register("web", port=80)
        assert int(blocked.result()[0]) > int(index)


def test_the_agent_is_asked_who_it_is(client: Any) -> None:
    assert client.agent.self()["Config"]["Datacenter"] == "dc1"
    assert client.catalog.datacenters() == ["dc1"]
    assert client.status.leader() in client.status.peers()


def test_a_prepared_query_is_made_and_executed(client: Any) -> None:
    client.agent.service.register("web", port=80)
    wait_until(lambda: client.catalog.service("web")[1], "the service is in the catalog")
    query = client.query.create("web", name="find-web")["ID"]
    try:
        (node,) = client.query.execute("find-web")["Nodes"]
        assert node["Service"]["Port"] == 80
    finally:
        assert client.query.delete(query)


def test_the_roots_are_read(client: Any) -> None:
    roots = client.connect.ca.roots()
    assert roots["ActiveRootID"] in {root["ID"] for root in roots["Roots"]}
