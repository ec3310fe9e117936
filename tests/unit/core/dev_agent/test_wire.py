from connect_proxy.dev_agent import wire
from connect_proxy.dev_agent.catalog import Instance
from connect_proxy.dev_agent.definition import SERVICE_DEFINITION, service_definition
from connect_proxy.dev_agent.records import CheckRecord, Node, ServiceRecord

NODE = Node(id="id", name="node1", address="::1", datacenter="dc1")
BODY = {
    "Name": "web-proxy",
    "Kind": "connect-proxy",
    "Port": 20000,
    "Address": "10.0.0.1",
    "Proxy": {
        "DestinationServiceName": "web",
        "Config": {"handshake_timeout_ms": 1, "nested": {"list": [1]}},
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9191}],
    },
}
PROXY = service_definition(SERVICE_DEFINITION(BODY, "")).service


def test_the_agent_omits_what_is_empty() -> None:
    shown = wire.agent_service(PROXY)
    assert shown["Proxy"] == {
        "DestinationServiceName": "web",
        "Config": {"handshake_timeout_ms": 1, "nested": {"list": [1]}},
        "Upstreams": [
            {
                "DestinationType": "service",
                "DestinationName": "db",
                "LocalBindPort": 9191,
                "MeshGateway": {},
            }
        ],
        "MeshGateway": {},
        "Expose": {},
    }
    assert "Proxy" not in wire.agent_service(ServiceRecord(id="a", name="a"))


def test_the_catalog_always_shows_proxy_and_connect() -> None:
    assert (
        wire.catalog_service(ServiceRecord(id="a", name="a")).items()
        >= {
            "Proxy": {"MeshGateway": {}, "Expose": {}},
            "Connect": {},
        }.items()
    )
    (upstream,) = wire.catalog_service(PROXY)["Proxy"]["Upstreams"]
    assert (upstream["Datacenter"], upstream["Config"]) == ("", None)


def test_the_hash_is_that_of_the_content() -> None:
    shown = wire.agent_service_with_hash(PROXY)
    again = wire.agent_service_with_hash(service_definition(SERVICE_DEFINITION(BODY, "")).service)
    other = service_definition(SERVICE_DEFINITION({**BODY, "Port": 20001}, "")).service
    assert (
        shown["ContentHash"] == again["ContentHash"] != wire.agent_service_with_hash(other)["ContentHash"]
    )
    assert len(shown["ContentHash"]) == 16


def test_an_address_of_its_own_is_tagged_by_its_family() -> None:
    pair = {"Address": "10.0.0.1", "Port": 20000}
    assert wire.tagged_addresses(PROXY) == {"lan_ipv4": pair, "wan_ipv4": pair}
    assert wire.tagged_addresses(ServiceRecord(id="a", name="a", address="host.example")) == {}
    assert wire.node_addresses(NODE) == dict.fromkeys(("lan", "lan_ipv6", "wan", "wan_ipv6"), "::1")


def test_health_shows_node_service_and_checks() -> None:
    check = CheckRecord(id="c", name="c", create_index=3, modify_index=4)
    shown = wire.health_entry(Instance(service=PROXY, checks=(check,)), NODE)
    assert shown["Node"]["Node"] == "node1"
    assert shown["Service"]["ID"] == "web-proxy"
    assert [(each["CheckID"], each["ModifyIndex"]) for each in shown["Checks"]] == [("c", 4)]


def test_the_agents_own_checks_have_no_indexes() -> None:
    shown = wire.agent_check(CheckRecord(id="c", name="c", create_index=3, modify_index=4), NODE)
    assert (shown["CreateIndex"], shown["ModifyIndex"]) == (0, 0)


def test_the_catalogs_flat_entry_carries_the_proxy() -> None:
    shown = wire.catalog_entry(PROXY, NODE)
    assert shown["ServiceKind"] == "connect-proxy"
    assert shown["ServiceProxy"]["DestinationServiceName"] == "web"
    assert (shown["Address"], shown["ServiceAddress"]) == ("::1", "10.0.0.1")
