import socket

import pytest

from connect_proxy.errors import ConfigurationError, PortsExhaustedError
from connect_proxy.managed.definitions.configuration import PortRanges
from connect_proxy.managed.ports import PortAllocator, can_bind, explicit_port
from connect_proxy.mesh.registration import Upstream
from support.managed_definitions import managed_proxy
from support.ports import free_port

RANGES = PortRanges(proxy_min=20000, proxy_max=20003, sidecar_min=21000, sidecar_max=21003)


def allocator(*, busy: frozenset[int] = frozenset(), ranges: PortRanges = RANGES) -> PortAllocator:
    """Tries ports from the highest, and finds *busy* ones taken."""
    return PortAllocator(
        ranges, is_free=lambda _address, port: port not in busy, shuffled=lambda ports: ports[::-1]
    )


def test_a_managed_proxy_gets_the_first_free_port_in_the_random_order() -> None:
    assert allocator().assign([managed_proxy()], kept={}) == {"web-proxy": 20003}


def test_the_order_of_trial_is_random_and_covers_the_range() -> None:
    made = PortAllocator(RANGES, is_free=lambda _address, _port: True)
    seen = {made.assign([managed_proxy()], kept={})["web-proxy"] for _ in range(200)}
    assert seen == {20000, 20001, 20002, 20003}


def test_a_sidecar_gets_the_lowest_free_port() -> None:
    sidecars = [managed_proxy(name, is_sidecar=True) for name in ("web", "api")]
    assert allocator(busy=frozenset({21000})).assign(sidecars, kept={}) == {
        "web-sidecar-proxy": 21001,
        "api-sidecar-proxy": 21002,
    }


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    assert allocator(busy=frozenset({20003, 20002})).assign([managed_proxy()], kept={}) == {
        "web-proxy": 20001
    }


def test_a_port_of_another_local_service_is_passed_over() -> None:
    assigned = allocator().assign([managed_proxy(is_sidecar=True)], kept={}, taken=[21000, 21001])
    assert assigned == {"web-sidecar-proxy": 21002}


def test_a_port_of_an_upstream_is_passed_over_even_by_who_had_it() -> None:
    caller = managed_proxy("api", upstreams=(Upstream(destination_name="web", local_bind_port=20003),))
    proxies = [managed_proxy(), caller]
    assert allocator().assign(proxies, kept={}) == {"web-proxy": 20002, "api-proxy": 20001}
    assert allocator().assign(proxies, kept={"web-proxy": 20003})["web-proxy"] == 20002


def test_no_two_proxies_get_one_port() -> None:
    proxies = [managed_proxy(name) for name in ("a", "b", "c", "d")]
    assert sorted(allocator().assign(proxies, kept={}).values()) == [20000, 20001, 20002, 20003]


def test_a_proxy_keeps_its_port_though_it_listens_there() -> None:
    assert allocator(busy=frozenset({20001})).assign([managed_proxy()], kept={"web-proxy": 20001}) == {
        "web-proxy": 20001
    }


def test_a_new_proxy_does_not_take_a_port_that_is_kept_by_a_later_one() -> None:
    assigned = allocator().assign([managed_proxy("new"), managed_proxy("old")], kept={"old-proxy": 20003})
    assert assigned == {"new-proxy": 20002, "old-proxy": 20003}


def test_an_explicit_port_is_taken_as_it_stands_in_or_out_of_the_range() -> None:
    proxy = managed_proxy(config={"bind_port": "443"})
    made = allocator(busy=frozenset({443}))
    assert made.assign([proxy], kept={"web-proxy": 20001}) == {"web-proxy": 443}


def test_a_sidecars_own_port_is_taken_as_it_stands() -> None:
    assigned = allocator().assign(
        [managed_proxy(is_sidecar=True)], kept={}, given={"web-sidecar-proxy": 9999}
    )
    assert assigned == {"web-sidecar-proxy": 9999}


def test_who_kept_a_port_that_another_one_names_moves() -> None:
    proxies = [managed_proxy("a"), managed_proxy("b", config={"bind_port": 20001})]
    assert allocator().assign(proxies, kept={"a-proxy": 20001}) == {"a-proxy": 20003, "b-proxy": 20001}


def test_an_exhausted_range_is_named() -> None:
    with pytest.raises(PortsExhaustedError, match=r"'web-proxy'.*from 20000 to 20003.*proxy_min_port"):
        allocator(busy=frozenset(range(20000, 20004))).assign([managed_proxy()], kept={})


def test_a_range_of_zero_switches_allocation_off() -> None:
    ranges = PortRanges(sidecar_min=0, sidecar_max=0)
    with pytest.raises(PortsExhaustedError, match=r"switched off.*sidecar_min_port"):
        allocator(ranges=ranges).assign([managed_proxy(is_sidecar=True)], kept={})


@pytest.mark.parametrize(
    ("given", "port"), [(8443, 8443), (8443.0, 8443), ("8443", 8443), (None, 0), ("", 0)]
)
def test_bind_port_may_be_a_number_or_its_text(given: object, port: int) -> None:
    assert explicit_port({"bind_port": given}) == port


@pytest.mark.parametrize("given", ["http", 0, 65536, -1, True, 1.5, [80]])
def test_what_is_no_port_is_an_error_that_names_it(given: object) -> None:
    with pytest.raises(ConfigurationError, match="bind_port is"):
        explicit_port({"bind_port": given})


@pytest.mark.parametrize("address", ["127.0.0.1", "", "0.0.0.0"])
def test_a_port_with_a_listener_cannot_be_bound(address: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = listener.getsockname()[1]
        assert not can_bind(address, port)
    assert can_bind(address, port)


def test_an_address_that_this_machine_lacks_says_nothing_of_the_port() -> None:
    assert can_bind("192.0.2.1", 8443)
