from typing import Any

import pytest

from connect_proxy.errors import ConfigurationError
from connect_proxy.managed.registrations import (
    PlacedProxy,
    filled_config,
    proxy_body,
    sidecar_ports,
    wanted_registrations,
)
from connect_proxy.mesh.registration import Upstream
from support.managed_definitions import configuration, managed_proxy, managed_service


def body(config: dict[str, Any] | None = None, *, bind_address: str = "", **other: Any) -> dict[str, Any]:
    return proxy_body(managed_proxy(config=config, **other), port=20001, bind_address=bind_address)


def test_a_managed_proxy_is_registered_as_the_connect_proxy_of_its_service() -> None:
    assert body() == {
        "Kind": "connect-proxy",
        "ID": "web-proxy",
        "Name": "web-proxy",
        "Address": "",
        "Port": 20001,
        "Proxy": {
            "DestinationServiceName": "web",
            "DestinationServiceID": "web",
            "LocalServiceAddress": "127.0.0.1",
            "LocalServicePort": 8080,
            "Config": {"bind_port": 20001, "local_service_address": "127.0.0.1:8080"},
            "Upstreams": [],
        },
        "Check": {"Name": "Connect Proxy Listening", "TCP": "127.0.0.1:20001", "Interval": "10s"},
    }


def test_the_bind_address_of_the_config_is_the_registered_address_and_is_checked() -> None:
    made = body({"bind_address": "10.0.0.5"}, bind_address="10.0.0.1")
    assert (made["Address"], made["Check"]["TCP"]) == ("10.0.0.5", "10.0.0.5:20001")


def test_the_agents_address_is_filled_in_and_checked_but_not_registered() -> None:
    made = body(bind_address="10.0.0.1")
    assert made["Address"] == ""
    assert made["Proxy"]["Config"]["bind_address"] == "10.0.0.1"
    assert made["Check"]["TCP"] == "10.0.0.1:20001"


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::", "[::]"])
def test_a_wildcard_is_checked_on_loopback_and_is_no_address(wildcard: str) -> None:
    made = body({"bind_address": wildcard})
    assert (made["Address"], made["Check"]["TCP"]) == ("", "127.0.0.1:20001")


def test_the_check_has_brackets_around_ipv6() -> None:
    assert body({"bind_address": "fd00::5"})["Check"]["TCP"] == "[fd00::5]:20001"


def test_the_check_goes_to_its_own_address_if_there_is_one() -> None:
    made = body({"bind_address": "10.0.0.5", "tcp_check_address": "10.0.0.6"})
    assert made["Check"]["TCP"] == "10.0.0.6:20001"


@pytest.mark.parametrize("word", [True, "true", "1"])
def test_the_check_can_be_switched_off(word: object) -> None:
    assert "Check" not in body({"disable_tcp_check": word})


def test_the_local_service_is_where_the_config_says() -> None:
    made = body({"local_service_address": "[::1]:9090"})["Proxy"]
    assert (made["LocalServiceAddress"], made["LocalServicePort"]) == ("::1", 9090)


@pytest.mark.parametrize("text", ["localhost", ":80", "localhost:http", "localhost:0"])
def test_a_local_service_address_without_host_or_port_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="'web-proxy' is '"):
        body({"local_service_address": text})


def test_upstreams_are_told_once_and_without_what_old_consuls_refuse() -> None:
    upstream = Upstream(destination_name="redis", local_bind_port=1234)
    made = body({"upstreams": [{"destination_name": "redis"}]}, upstreams=(upstream,))["Proxy"]
    assert made["Upstreams"] == [
        {"DestinationType": "service", "DestinationName": "redis", "LocalBindPort": 1234}
    ]
    assert "upstreams" not in made["Config"]


def test_all_of_an_upstream_is_told() -> None:
    upstream = Upstream(
        destination_name="near",
        destination_type="prepared_query",
        destination_namespace="team",
        datacenter="dc2",
        local_bind_address="127.0.0.2",
        local_bind_port=1234,
        config={"connect_timeout_ms": 5},
    )
    assert body(upstreams=(upstream,))["Proxy"]["Upstreams"] == [
        {
            "DestinationType": "prepared_query",
            "DestinationNamespace": "team",
            "DestinationName": "near",
            "Datacenter": "dc2",
            "LocalBindAddress": "127.0.0.2",
            "LocalBindPort": 1234,
            "Config": {"connect_timeout_ms": 5},
        }
    ]


def test_what_the_config_says_is_not_filled_in() -> None:
    proxy = managed_proxy(config={"bind_address": "::1", "local_service_address": "h:1", "x": {"y": 1}})
    assert filled_config(proxy, port=7, bind_address="10.0.0.1") == {
        "bind_port": 7,
        "bind_address": "::1",
        "local_service_address": "h:1",
        "x": {"y": 1},
    }


def test_each_service_comes_before_its_proxy_and_lends_it_its_token() -> None:
    services = [managed_service("db", proxied=False), managed_service("web", token="t0ken")]
    wanted = wanted_registrations(
        configuration(*services), [PlacedProxy(proxy=managed_proxy(), port=20001)]
    )
    assert [one.id for one in wanted] == ["db", "web", "web-proxy"]
    assert [one.service_id for one in wanted] == ["db", "web", "web"]
    assert [one.token.reveal() for one in wanted] == ["", "t0ken", "t0ken"]


def test_a_sidecar_comes_with_its_service_on_the_port_that_it_was_given() -> None:
    service = managed_service(proxied=False, Connect={"SidecarService": {}})
    placed = PlacedProxy(proxy=managed_proxy(is_sidecar=True), port=21007)
    (wanted,) = wanted_registrations(configuration(service), [placed])
    assert wanted.request()["Connect"] == {"SidecarService": {"Port": 21007}}
    assert wanted.ids == ("web", "web-sidecar-proxy")


def test_a_sidecar_that_is_not_started_here_is_left_to_consul() -> None:
    service = managed_service(proxied=False, Connect={"SidecarService": {}})
    (wanted,) = wanted_registrations(configuration(service), [])
    assert wanted.request()["Connect"] == {"SidecarService": {}}


def test_ports_of_sidecars_are_known_by_the_sidecars_id() -> None:
    given = managed_service("a", Connect={"SidecarService": {"Port": 9000}})
    silent = managed_service("b", Connect={"SidecarService": {}})
    assert sidecar_ports(configuration(given, silent)) == {"a-sidecar-proxy": 9000}


def test_no_token_shows_in_what_is_wanted() -> None:
    (wanted,) = wanted_registrations(configuration(managed_service(proxied=False, token="t0ken")), [])
    assert "t0ken" not in repr(wanted)
