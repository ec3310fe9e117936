from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy_builtin.balancer import Balancer, Instance
from connect_proxy_builtin.policy import Target


def target(port: int, weight: int = 1) -> Target:
    return Target(address="10.0.0.1", port=port, expected_uri="spiffe://x", weight=weight)


def balancer(*targets: Target, prefer_order: bool = False) -> Balancer:
    made = Balancer(chance=random.Random(7))
    made.use(targets, prefer_order=prefer_order)
    return made


def chosen(made: Balancer, *, now: float = 0.0, tried: tuple[Instance, ...] = ()) -> Instance:
    instance = made.choose(now=now, tried=tried)
    assert instance is not None
    return instance


def test_there_is_nothing_to_choose_without_instances() -> None:
    assert balancer().choose(now=0.0) is None


def test_of_two_the_one_with_fewer_connections_is_chosen() -> None:
    made = balancer(target(1), target(2))
    made.instances[0].open = 3
    assert chosen(made).target.port == 2


def test_load_is_connections_per_weight() -> None:
    made = balancer(target(1, weight=10), target(2))
    made.instances[0].open, made.instances[1].open = 5, 1
    assert chosen(made).target.port == 1


def test_the_order_of_a_prepared_query_is_a_preference() -> None:
    made = balancer(target(1), target(2), target(3), prefer_order=True)
    made.instances[0].open = 100
    assert chosen(made).target.port == 1
    Balancer.failed(made.instances[0], now=0.0)
    assert chosen(made).target.port == 2


def test_a_failed_instance_is_avoided_for_a_while() -> None:
    made = balancer(target(1), target(2))
    Balancer.failed(made.instances[0], now=10.0)
    assert {chosen(made, now=10.5).target.port for _ in range(20)} == {2}
    made.instances[1].open = 9
    assert chosen(made, now=11.0).target.port == 1


def test_each_failure_in_a_row_doubles_the_pause_up_to_thirty_seconds() -> None:
    instance = Instance(target=target(1))
    pauses = []
    for _ in range(8):
        Balancer.failed(instance, now=0.0)
        pauses.append(instance.avoid_until)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_success_ends_the_avoidance() -> None:
    instance = Instance(target=target(1))
    Balancer.failed(instance, now=0.0)
    Balancer.succeeded(instance)
    assert (instance.failures, instance.avoid_until) == (0, 0.0)


def test_if_all_are_avoided_the_one_that_is_free_soonest_is_tried() -> None:
    made = balancer(target(1), target(2))
    for instance, when in zip(made.instances, (5.0, 3.0), strict=True):
        Balancer.failed(instance, now=when)
    assert chosen(made, now=3.5).target.port == 2


def test_one_that_was_tried_is_not_chosen_again() -> None:
    made = balancer(target(1), target(2))
    first = chosen(made)
    assert chosen(made, tried=(first,)) is not first
    assert made.choose(now=0.0, tried=made.instances) is None


def test_new_instances_do_not_wipe_out_what_is_known_of_the_old() -> None:
    made = balancer(target(1), target(2))
    made.instances[0].open = 4
    made.use([target(1), target(3)], prefer_order=False)
    assert [(each.target.port, each.open) for each in made.instances] == [(1, 4), (3, 0)]


@given(
    ports=st.sets(st.integers(1, 20), min_size=1),
    failures=st.lists(st.tuples(st.integers(0, 19), st.floats(0, 50))),
    now=st.floats(0, 100),
)
def test_an_instance_that_need_not_be_avoided_is_never_passed_over_for_one_that_must(
    ports: set[int], failures: list[tuple[int, float]], now: float
) -> None:
    made = balancer(*(target(port) for port in sorted(ports)))
    for index, when in failures:
        Balancer.failed(made.instances[index % len(ports)], now=when)
    usable = [each for each in made.instances if each.avoid_until <= now]
    assert chosen(made, now=now) in (usable or made.instances)


@pytest.mark.parametrize("prefer_order", [True, False])
def test_all_instances_get_their_turn_as_they_are_tried(prefer_order: bool) -> None:
    made = balancer(*(target(port) for port in range(5)), prefer_order=prefer_order)
    tried: list[Instance] = []
    while (instance := made.choose(now=0.0, tried=tried)) is not None:
        tried.append(instance)
    assert sorted(each.target.port for each in tried) == list(range(5))
