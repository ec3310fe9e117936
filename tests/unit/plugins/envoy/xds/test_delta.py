"""Incremental ADS: what is sent when, and never twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connect_proxy_envoy.resources.resource import ResourceSet, resource_set
from connect_proxy_envoy.resources.type_urls import CLUSTER, ENDPOINTS, LISTENER, SECRET
from connect_proxy_envoy.xds.delta import DeltaStream
from connect_proxy_envoy.xds.messages import DeltaRequest, DeltaResponse, Refusal

TYPES = (CLUSTER, ENDPOINTS, SECRET, LISTENER)


def resources(**bodies: Mapping[str, object]) -> ResourceSet:
    """``clusters={"db": 1}``: names with anything that tells one version from another."""
    urls = {"clusters": CLUSTER, "endpoints": ENDPOINTS, "secrets": SECRET, "listeners": LISTENER}
    return resource_set(
        {
            urls[kind]: [(name, {"value": value}) for name, value in named.items()]
            for kind, named in bodies.items()
        }
    )


def stream_with(offered: ResourceSet) -> DeltaStream:
    stream = DeltaStream()
    stream.offer(offered)
    return stream


def ask(stream: DeltaStream, type_url: str, *names: str) -> list[DeltaResponse]:
    stream.receive(DeltaRequest(type_url=type_url, subscribe=names))
    return stream.responses()


def ack(stream: DeltaStream, response: DeltaResponse) -> list[DeltaResponse]:
    stream.receive(DeltaRequest(type_url=response.type_url, nonce=response.nonce))
    return stream.responses()


def nack(stream: DeltaStream, response: DeltaResponse) -> str:
    answer = DeltaRequest(type_url=response.type_url, nonce=response.nonce, error="bad\nthing")
    return str(stream.receive(answer))


def names(responses: list[DeltaResponse]) -> list[tuple[str, list[str], list[str]]]:
    return [
        (
            response.type_url.rpartition(".")[2],
            [resource.name for resource in response.resources],
            list(response.removed),
        )
        for response in responses
    ]


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    assert stream_with(resources(clusters={"db": 1})).responses() == []


def test_a_first_request_without_names_asks_for_all_clusters() -> None:
    stream = stream_with(resources(clusters={"db": 1, "web": 1}))
    assert names(ask(stream, CLUSTER)) == [("Cluster", ["db", "web"], [])]


def test_a_star_asks_for_everything_too() -> None:
    stream = stream_with(resources(listeners={"a": 1}))
    assert names(ask(stream, LISTENER, "*")) == [("Listener", ["a"], [])]


def test_endpoints_are_sent_by_name_only() -> None:
    stream = stream_with(resources(endpoints={"db": 1, "web": 1}))
    assert ask(stream, ENDPOINTS) == []
    assert names(ask(stream, ENDPOINTS, "web")) == [("ClusterLoadAssignment", ["web"], [])]


def test_what_is_acknowledged_is_not_sent_again() -> None:
    stream = stream_with(resources(secrets={"leaf": 1}))
    [response] = ask(stream, SECRET, "leaf")
    assert stream.responses() == []
    assert ack(stream, response) == []


def test_an_acknowledgement_starts_no_exchange_without_end() -> None:
    stream = stream_with(resources(secrets={"leaf": 1, "roots": 1}))
    [first] = ask(stream, SECRET, "leaf")
    assert ask(stream, SECRET, "roots") == []  # one response at a time
    [second] = ack(stream, first)
    assert [resource.name for resource in second.resources] == ["roots"]
    assert ack(stream, second) == []


def test_only_what_changed_is_sent() -> None:
    stream = stream_with(resources(secrets={"leaf": 1, "roots": 1}))
    ack(stream, ask(stream, SECRET, "leaf", "roots")[0])
    stream.offer(resources(secrets={"leaf": 2, "roots": 1}))
    assert names(stream.responses()) == [("Secret", ["leaf"], [])]


def test_a_change_while_a_response_is_under_way_waits_for_its_answer() -> None:
    stream = stream_with(resources(clusters={"db": 1}))
    [first] = ask(stream, CLUSTER)
    stream.offer(resources(clusters={"db": 2}))
    assert stream.responses() == []
    assert names(ack(stream, first)) == [("Cluster", ["db"], [])]


def test_listeners_wait_until_clusters_and_endpoints_are_taken() -> None:
    stream = stream_with(resources(clusters={"db": 1}, endpoints={"db": 1}, listeners={"a": 1}))
    [clusters] = ask(stream, CLUSTER)
    assert ask(stream, LISTENER) == []
    [endpoints] = ask(stream, ENDPOINTS, "db")
    assert ack(stream, clusters) == []
    assert names(ack(stream, endpoints)) == [("Listener", ["a"], [])]


def test_listeners_go_before_their_clusters() -> None:
    stream = stream_with(resources(clusters={"db": 1}, listeners={"a": 1}))
    ack(stream, ask(stream, CLUSTER)[0])
    ack(stream, ask(stream, LISTENER)[0])
    stream.offer(resources(clusters={}, listeners={}))
    [listeners] = stream.responses()
    assert names([listeners]) == [("Listener", [], ["a"])]
    assert names(ack(stream, listeners)) == [("Cluster", [], ["db"])]


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    stream = stream_with(resources(clusters={"db": 1, "web": 1}, endpoints={"db": 1, "web": 1}))
    ack(stream, ask(stream, CLUSTER)[0])
    ack(stream, ask(stream, ENDPOINTS, "db", "web")[0])
    stream.offer(resources(clusters={"db": 2, "web": 1}, endpoints={"db": 1, "web": 1}))
    assert names(stream.responses()) == [
        ("Cluster", ["db"], []),
        ("ClusterLoadAssignment", ["db"], []),
    ]


def test_a_cluster_sent_while_its_endpoints_are_under_way_gets_them_again() -> None:
    stream = stream_with(resources(clusters={"db": 1}, endpoints={"db": 1}))
    ack(stream, ask(stream, CLUSTER)[0])
    [endpoints] = ask(stream, ENDPOINTS, "db")
    stream.offer(resources(clusters={"db": 2}, endpoints={"db": 1}))
    assert names(stream.responses()) == [("Cluster", ["db"], [])]
    assert names(ack(stream, endpoints)) == [("ClusterLoadAssignment", ["db"], [])]


def test_asking_again_for_a_name_sends_it_again() -> None:
    stream = stream_with(resources(endpoints={"db": 1}))
    ack(stream, ask(stream, ENDPOINTS, "db")[0])
    assert names(ask(stream, ENDPOINTS, "db")) == [("ClusterLoadAssignment", ["db"], [])]


def test_what_is_no_longer_wanted_is_not_sent() -> None:
    stream = stream_with(resources(endpoints={"db": 1}))
    ack(stream, ask(stream, ENDPOINTS, "db")[0])
    stream.receive(DeltaRequest(type_url=ENDPOINTS, unsubscribe=("db",)))
    stream.offer(resources(endpoints={"db": 2}))
    assert stream.responses() == []


def test_a_refused_resource_is_named_and_not_sent_again_until_it_changes() -> None:
    stream = stream_with(resources(listeners={"a": 1, "b": 1}))
    [response] = ask(stream, LISTENER)
    assert nack(stream, response) == "Envoy refuses Listener a, b: bad thing"
    assert stream.responses() == []
    stream.offer(resources(listeners={"a": 2, "b": 1}))
    assert names(stream.responses()) == [("Listener", ["a"], [])]


def test_a_refusal_names_what_envoy_blames() -> None:
    refusal = Refusal(type_url=LISTENER, names=("a:1", "b:2"), reason="cannot bind b:2")
    assert str(refusal) == "Envoy refuses Listener b:2: cannot bind b:2"


def test_a_refusal_lasts_until_the_resource_changes_or_is_taken() -> None:
    stream = stream_with(resources(listeners={"a": 1, "old": 1}))
    ack(stream, ask(stream, LISTENER)[0])
    stream.offer(resources(listeners={"a": 2}))
    nack(stream, stream.responses()[0])
    [removal] = stream.responses()
    assert names([removal]) == [("Listener", [], ["old"])]
    ack(stream, removal)
    assert stream.refuses(LISTENER)
    stream.offer(resources(listeners={"a": 3}))
    ack(stream, stream.responses()[0])
    assert not stream.refuses(LISTENER)


def test_a_refused_resource_is_offered_again_on_retry() -> None:
    stream = stream_with(resources(listeners={"a": 1}))
    nack(stream, ask(stream, LISTENER)[0])
    stream.retry()
    assert names(stream.responses()) == [("Listener", ["a"], [])]


def test_an_answer_to_an_older_response_says_nothing() -> None:
    stream = stream_with(resources(clusters={"db": 1}))
    ask(stream, CLUSTER)
    assert stream.receive(DeltaRequest(type_url=CLUSTER, nonce="ffff", error="old")) is None
    assert stream.responses() == []


def test_after_a_reconnect_only_the_difference_is_sent() -> None:
    first = resources(clusters={"db": 1, "web": 1, "gone": 1})
    versions = {name: entry.version for name, entry in first.of_type(CLUSTER).items()}
    stream = stream_with(resources(clusters={"db": 1, "web": 2}))
    stream.receive(DeltaRequest(type_url=CLUSTER, initial_versions=versions))
    [changed] = stream.responses()
    assert names([changed]) == [("Cluster", ["web"], ["gone"])] or names(
        [changed, *ack(stream, changed)]
    ) == [("Cluster", ["web"], []), ("Cluster", [], ["gone"])]


def test_endpoints_that_the_client_still_holds_are_not_sent_after_a_reconnect() -> None:
    offered = resources(endpoints={"db": 1})
    versions = {name: entry.version for name, entry in offered.of_type(ENDPOINTS).items()}
    stream = stream_with(offered)
    stream.receive(DeltaRequest(type_url=ENDPOINTS, subscribe=("db",), initial_versions=versions))
    assert stream.responses() == []


def test_a_type_that_we_do_not_serve_gets_no_answer() -> None:
    assert ask(stream_with(resources(clusters={"db": 1})), "type.googleapis.com/other") == []


_bodies = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2))


class AnyClient(RuleBasedStateMachine):
    """A client that answers late, refuses, asks again: in the end it holds what is offered."""

    @initialize()
    def connect(self) -> None:
        self.stream = DeltaStream()
        self.offered = resources()
        self.held: dict[str, dict[str, str]] = {url: {} for url in TYPES}
        self.under_way: list[DeltaResponse] = []
        self.wanted: set[str] = set()
        for url in (CLUSTER, LISTENER):
            self.stream.receive(DeltaRequest(type_url=url))

    @rule(clusters=_bodies, endpoints=_bodies, listeners=_bodies)
    def change(
        self, clusters: dict[str, int], endpoints: dict[str, int], listeners: dict[str, int]
    ) -> None:
        self.offered = resources(clusters=clusters, endpoints=endpoints, listeners=listeners)
        self.stream.offer(self.offered)

    @rule(name=st.sampled_from("abc"))
    def subscribe(self, name: str) -> None:
        self.wanted.add(name)
        self.stream.receive(DeltaRequest(type_url=ENDPOINTS, subscribe=(name,)))

    @rule()
    def send(self) -> None:
        responses = self.stream.responses()
        assert all(response.resources or response.removed for response in responses)
        self.under_way += responses

    @rule(accept=st.booleans())
    def answer(self, accept: bool) -> None:
        if self.under_way:
            self._answer(self.under_way.pop(0), accept=accept)

    @invariant()
    def one_response_a_type_is_under_way(self) -> None:
        urls = [response.type_url for response in self.under_way]
        assert len(urls) == len(set(urls))

    def teardown(self) -> None:
        self.stream.retry()
        for _ in range(50):
            self.under_way += self.stream.responses()
            if not self.under_way:
                break
            self._answer(self.under_way.pop(0), accept=True)
        else:
            pytest.fail("the exchange does not end")
        for url in (CLUSTER, LISTENER):
            assert self.held[url] == _versions(self.offered, url)
        for name, version in _versions(self.offered, ENDPOINTS).items():
            if name in self.wanted:
                assert self.held[ENDPOINTS].get(name) == version

    def _answer(self, response: DeltaResponse, *, accept: bool) -> None:
        held = self.held[response.type_url]
        if accept:
            held.update({resource.name: resource.version for resource in response.resources})
            for name in response.removed:
                held.pop(name, None)
        error = "" if accept else "no"
        self.stream.receive(DeltaRequest(type_url=response.type_url, nonce=response.nonce, error=error))


def _versions(offered: ResourceSet, type_url: str) -> dict[str, str]:
    return {name: resource.version for name, resource in offered.of_type(type_url).items()}


TestAnyClient = AnyClient.TestCase
