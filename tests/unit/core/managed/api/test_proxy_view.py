from dataclasses import replace
from typing import Any

import pytest

from connect_proxy.managed.api.proxy_view import content_hash, proxy_view
from connect_proxy.managed.definitions.configuration import Origin
from connect_proxy.mesh.immutable import frozen
from connect_proxy.mesh.registration import Upstream
from support.agent_api_running import published
from support.managed_definitions import managed_proxy

NEAR = Upstream(
    destination_name="near",
    destination_type="prepared_query",
    local_bind_address="127.0.0.2",
    local_bind_port=5,
    datacenter="dc2",
)


def test_the_configs_own_words_are_shown_as_they_are() -> None:
    written = {"upstreams": [{"destination_name": "redis"}], "bind_address": "::1", "deep": {"er": [1]}}
    config = proxy_view(published(managed_proxy(config=written, upstreams=(NEAR,))))["Config"]
    assert {name: config[name] for name in written} == written


@pytest.mark.parametrize(("agents", "shown"), [("10.0.0.1", "10.0.0.1"), ("", "0.0.0.0")])
def test_an_address_is_always_shown(agents: str, shown: str) -> None:
    assert proxy_view(published(managed_proxy()), bind_address=agents)["Config"]["bind_address"] == shown


def test_upstreams_stand_where_consul_1_2_had_them_too() -> None:
    assert proxy_view(published(managed_proxy(upstreams=(NEAR,))))["Config"]["upstreams"] == [
        {
            "destination_name": "near",
            "destination_type": "prepared_query",
            "destination_datacenter": "dc2",
            "local_bind_address": "127.0.0.2",
            "local_bind_port": 5,
        }
    ]


def test_a_command_is_shown_word_by_word() -> None:
    view = proxy_view(published(managed_proxy(command=("/bin/relay", "-x"))))
    assert (view["ExecMode"], view["Command"]) == ("daemon", ["/bin/relay", "-x"])


@pytest.mark.parametrize(
    "change",
    [
        {"config": frozen({"x": 1})},
        {"command": ("/bin/other",)},
        {"upstreams": (NEAR,)},
        {"service_port": 1},
        {"service_name": "other"},
    ],
)
def test_the_hash_changes_with_everything_that_is_shown(change: dict[str, Any]) -> None:
    before = published(managed_proxy())
    assert content_hash(replace(before, proxy=replace(before.proxy, **change))) != content_hash(before)
    assert content_hash(replace(before, port=7)) != content_hash(before)


def test_the_hash_stays_where_nothing_is_shown_differently() -> None:
    before = published(managed_proxy())
    moved = replace(before.proxy, origin=Origin(file="other.hcl"))
    assert content_hash(replace(before, proxy=moved, token_hash="other")) == content_hash(before)


def test_a_proxy_of_another_backend_shows_what_it_is_started_with() -> None:
    started = replace(published(managed_proxy()), command=("/usr/bin/python3", "-m", "connect_proxy"))
    assert proxy_view(started)["Command"] == ["/usr/bin/python3", "-m", "connect_proxy"]
    assert content_hash(started) == content_hash(published(managed_proxy()))


def test_the_agents_telemetry_is_shown_with_a_prefix_for_the_proxy() -> None:
    agents = {"statsd_address": "127.0.0.1:8125", "prefix_filter": ["+consul.x", "-consul.y", "odd"]}
    view = proxy_view(published(managed_proxy("web")), telemetry=frozen(agents))
    assert view["Config"]["telemetry"] == {
        "statsd_address": "127.0.0.1:8125",
        "allowed_prefixes": ["consul.x"],
        "blocked_prefixes": ["consul.y"],
        "filter_default": True,
        "metrics_prefix": "consul.proxy.web",
    }


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"metrics_prefix": "mine"}, {"filter_default": True, "metrics_prefix": "mine"}),
        ("no telemetry at all", "no telemetry at all"),
    ],
)
def test_what_the_definition_says_of_telemetry_comes_first(said: Any, shown: Any) -> None:
    agents = frozen({"metrics_prefix": "agents"})
    view = proxy_view(published(managed_proxy(config={"telemetry": said})), telemetry=agents)
    assert view["Config"]["telemetry"] == shown
