import pytest

from connect_proxy.dev_agent.dns.lookup import Lookup, is_ours, parse_name


def parsed(name: str) -> Lookup | None:
    return parse_name(tuple(name.split(".")))


@pytest.mark.parametrize(
    ("name", "lookup"),
    [
        ("consul", Lookup(kind="domain")),
        ("web.service.consul", Lookup(kind="service", name="web")),
        ("web.service.dc2.consul", Lookup(kind="service", name="web", datacenter="dc2")),
        ("v1.web.service.consul", Lookup(kind="service", name="web", tag="v1")),
        ("a.b.web.service.consul", Lookup(kind="service", name="web", tag="a.b")),
        ("_web._tcp.service.consul", Lookup(kind="service", name="web")),
        ("_web._v1.service.dc1.consul", Lookup(kind="service", name="web", tag="v1", datacenter="dc1")),
        ("web.connect.consul", Lookup(kind="connect", name="web")),
        ("foo.bar.web.connect.consul", Lookup(kind="connect", name="web")),
        ("node1.node.consul", Lookup(kind="node", name="node1")),
        ("my.node.name.node.dc1.consul", Lookup(kind="node", name="my.node.name", datacenter="dc1")),
        ("geo.db.query.consul", Lookup(kind="query", name="geo.db")),
        ("7f000001.addr.dc1.consul", Lookup(kind="addr", name="7f000001", datacenter="dc1")),
        ("service.service.consul", Lookup(kind="service", name="service")),
    ],
)
def test_a_name_is_taken_apart(name: str, lookup: Lookup) -> None:
    assert parsed(name) == lookup


@pytest.mark.parametrize(
    "name",
    ["connect.consul", "service.consul", "bogus.consul", "web.bogus.consul", "web.service.a.b.consul"],
)
def test_other_names_mean_nothing(name: str) -> None:
    assert parsed(name) is None


def test_only_names_in_the_domain_are_ours() -> None:
    assert is_ours(("web", "service", "consul"))
    assert not is_ours(("example", "com"))
    assert not is_ours(())
