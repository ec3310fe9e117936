"""Plain ADS: every response is complete, and no request is answered without need."""

from __future__ import annotations

from collections.abc import Mapping

from connect_proxy_envoy.resources.resource import ResourceSet, resource_set
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, LISTENER, SECRET
from connect_proxy_envoy.xds.messages import StateRequest, StateResponse
from connect_proxy_envoy.xds.state_of_the_world import StateStream


def resources(bodies: Mapping[str, Mapping[str, int]]) -> ResourceSet:
    return resource_set(
        {url: [(name, {"value": value}) for name, value in named.items()] for url, named in bodies.items()}
    )


def stream_with(bodies: Mapping[str, Mapping[str, int]]) -> StateStream:
    stream = StateStream()
    stream.offer(resources(bodies))
    return stream


def ask(
    stream: StateStream, type_url: str, *names: str, nonce: str = "", error: str = ""
) -> list[list[str]]:
    stream.receive(StateRequest(type_url=type_url, names=names, nonce=nonce, error=error))
    return [_names(response) for response in stream.responses()]


def _names(response: StateResponse) -> list[str]:
    return [resource.name for resource in response.resources]


def test_the_first_request_is_answered_with_everything() -> None:
    assert ask(stream_with({CLUSTER: {"a": 1, "b": 1}}), CLUSTER) == [["a", "b"]]


def test_an_acknowledgement_is_not_answered() -> None:
    stream = stream_with({SECRET: {"leaf": 1, "roots": 1}})
    assert ask(stream, SECRET, "leaf") == [["leaf"]]
    assert ask(stream, SECRET, "leaf", nonce="00000001") == []


def test_a_larger_set_of_names_is_answered_and_a_repeated_one_is_not() -> None:
    stream = stream_with({SECRET: {"leaf": 1, "roots": 1}})
    ask(stream, SECRET, "leaf")
    assert ask(stream, SECRET, "leaf", "roots", nonce="00000001") == [["leaf", "roots"]]
    assert ask(stream, SECRET, "roots", "leaf", nonce="00000002") == []


def test_a_request_that_was_overtaken_is_left_alone() -> None:
    stream = stream_with({SECRET: {"leaf": 1, "roots": 1}})
    ask(stream, SECRET, "leaf")
    assert ask(stream, SECRET, "leaf", "roots", nonce="00000009") == []


def test_a_change_is_sent_once_the_last_response_is_answered() -> None:
    stream = stream_with({CLUSTER: {"a": 1}})
    ask(stream, CLUSTER)
    stream.offer(resources({CLUSTER: {"a": 2}}))
    assert stream.responses() == []
    assert ask(stream, CLUSTER, nonce="00000001") == [["a"]]


def test_a_removed_cluster_is_missing_from_the_next_response() -> None:
    stream = stream_with({CLUSTER: {"a": 1, "b": 1}})
    ask(stream, CLUSTER)
    ask(stream, CLUSTER, nonce="00000001")
    stream.offer(resources({CLUSTER: {}}))
    assert [_names(response) for response in stream.responses()] == [[]]


def test_a_refusal_is_named_and_the_same_is_not_sent_again() -> None:
    stream = stream_with({LISTENER: {"a": 1}})
    ask(stream, LISTENER)
    refusal = stream.receive(StateRequest(type_url=LISTENER, nonce="00000001", error="port in use"))
    assert str(refusal) == "Envoy refuses Listener a: port in use"
    assert stream.responses() == []
    assert stream.refuses(LISTENER)
    stream.retry()
    assert [_names(response) for response in stream.responses()] == [["a"]]


def test_types_go_out_in_the_order_in_which_they_refer_to_each_other() -> None:
    stream = stream_with({LISTENER: {"l": 1}, CLUSTER: {"c": 1}, ENDPOINTS: {"c": 1}})
    for type_url, names in ((LISTENER, ()), (ENDPOINTS, ("c",)), (CLUSTER, ())):
        stream.receive(StateRequest(type_url=type_url, names=names))
    order = [response.type_url for response in stream.responses()]
    assert order == [CLUSTER, ENDPOINTS, LISTENER]


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    stream = stream_with({CLUSTER: {"c": 1}, ENDPOINTS: {"c": 1}})
    ask(stream, CLUSTER)
    ask(stream, CLUSTER, nonce="00000001")
    ask(stream, ENDPOINTS, "c")
    ask(stream, ENDPOINTS, "c", nonce="00000002")
    stream.offer(resources({CLUSTER: {"c": 2}, ENDPOINTS: {"c": 1}}))
    assert [response.type_url for response in stream.responses()] == [CLUSTER, ENDPOINTS]
