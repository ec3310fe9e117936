"""Snapshots become resources; one that cannot leaves the last in force."""

from __future__ import annotations

import asyncio
import json

import pytest

from connect_proxy_envoy.resources.type_urls import CLUSTER, LISTENER
from connect_proxy_envoy.xds.feed import ResourceFeed
from support.envoy_snapshot import snapshot


def test_a_new_snapshot_rings_the_bells() -> None:
    feed, bell = ResourceFeed(), asyncio.Event()
    feed.add_bell(bell)
    feed.take(snapshot(generation=7))
    assert bell.is_set()
    assert feed.generation == 7
    assert feed.current is not None


def test_a_bell_that_was_removed_stays_silent() -> None:
    feed, bell = ResourceFeed(), asyncio.Event()
    feed.add_bell(bell)
    feed.remove_bell(bell)
    feed.take(snapshot())
    assert not bell.is_set()


def test_a_snapshot_that_cannot_be_rendered_leaves_the_last_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = ResourceFeed()
    feed.take(snapshot())
    good = feed.current
    for generation in (2, 3):
        feed.take(snapshot(config={"bind_port": "x"}, generation=generation))
    assert feed.current is good
    assert feed.generation == 1
    assert "bind_port" in str(feed.problem)
    assert len(caplog.messages) == 1
    feed.take(snapshot(generation=4))
    assert feed.problem is None


def test_what_is_not_rendered_as_meant_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    feed = ResourceFeed()
    for generation in (1, 2):
        feed.take(snapshot(expose={"Checks": True}, generation=generation))
    assert len(caplog.messages) == 1
    assert "Expose.Paths" in caplog.messages[0]
    feed.take(snapshot(generation=3))
    assert feed.notices == ()


def test_an_escape_hatch_that_is_no_valid_message_is_a_problem_not_a_crash() -> None:
    feed = ResourceFeed()
    own = {"@type": CLUSTER, "name": "local_app", "noSuchField": 1}
    feed.take(snapshot(config={"envoy_local_cluster_json": json.dumps(own)}))
    assert feed.current is None
    assert "noSuchField" in str(feed.problem)


def test_an_escape_hatch_may_use_types_that_we_do_not() -> None:
    feed = ResourceFeed()
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
        "statPrefix": "redis",
    }
    own = {
        "@type": LISTENER,
        "name": "mine",
        "filterChains": [
            {"filters": [{"name": "envoy.filters.network.redis_proxy", "typedConfig": proxy}]}
        ],
    }
    feed.take(snapshot(config={"envoy_public_listener_json": json.dumps(own)}))
    assert feed.problem is None
    assert feed.current is not None
    message = feed.message(feed.current.of_type(LISTENER)["mine"])
    assert b"redis" in message.value


def test_an_unchanged_resource_is_packed_once() -> None:
    feed = ResourceFeed()
    feed.take(snapshot())
    assert feed.current is not None
    before = feed.message(feed.current.of_type(CLUSTER)["local_app"])
    feed.take(snapshot(port=21001, generation=2))
    assert feed.message(feed.current.of_type(CLUSTER)["local_app"]) is before
