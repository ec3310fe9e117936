from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.managed.definitions.configuration import (
    AgentConfiguration,
    ManagedProxy,
    Origin,
    ProxyDefaults,
    ProxyStanza,
    ServiceDefinition,
)
from connect_proxy.managed.wanted import wanted_proxies
from connect_proxy.mesh.registration import Upstream
from connect_proxy.secret import Secret

ORIGIN = Origin(file="x.hcl", line=1)


def service(**given: Any) -> ServiceDefinition:
    values: dict[str, Any] = {"id": "web1", "name": "web", "origin": ORIGIN, "body": {}, "port": 8080}
    return ServiceDefinition(**values | given)


def wanted(one: ServiceDefinition, **given: Any) -> ManagedProxy:
    (proxy,) = wanted_proxies(AgentConfiguration(services=(one,), **given))
    return proxy


COMMAND, BACKEND, NOTHING = ProxyStanza(command=("mine",)), ProxyStanza(backend="mine"), ProxyStanza()
DEFAULT_COMMAND = ProxyDefaults(command=("theirs",))
DEFAULT_BACKEND = ProxyDefaults(backend="theirs")


@pytest.mark.parametrize(
    ("stanza", "defaults", "backend", "command"),
    [
        (COMMAND, DEFAULT_COMMAND, "custom_exec", ("mine",)),
        (COMMAND, DEFAULT_BACKEND, "custom_exec", ("mine",)),
        (BACKEND, DEFAULT_COMMAND, "mine", ()),
        (BACKEND, DEFAULT_BACKEND, "mine", ()),
        (NOTHING, ProxyDefaults(command=("theirs",), backend="x"), "custom_exec", ("theirs",)),
        (NOTHING, DEFAULT_COMMAND, "custom_exec", ("theirs",)),
        (NOTHING, DEFAULT_BACKEND, "theirs", ()),
        (NOTHING, ProxyDefaults(), "builtin", ()),
        (COMMAND, ProxyDefaults(), "custom_exec", ("mine",)),
    ],
)
def test_who_wins(
    stanza: ProxyStanza, defaults: ProxyDefaults, backend: str, command: tuple[str, ...]
) -> None:
    proxy = wanted(service(proxy=stanza), proxy_defaults=defaults)
    assert (proxy.backend, proxy.command) == (backend, command)


def test_the_backend_of_last_resort_is_the_callers() -> None:
    configuration = AgentConfiguration(services=(service(proxy=NOTHING),))
    assert [proxy.backend for proxy in wanted_proxies(configuration, default_backend="envoy")] == ["envoy"]


def test_a_managed_proxy_is_named_after_its_service() -> None:
    upstreams = (Upstream(destination_name="db", local_bind_port=1),)
    stanza = ProxyStanza(config={"a": 1, "b": {"c": 1}}, upstreams=upstreams)
    defaults = ProxyDefaults(config={"a": 2, "b": {"d": 1}, "e": 3})
    assert wanted(service(proxy=stanza, token=Secret("t")), proxy_defaults=defaults) == ManagedProxy(
        id="web1-proxy",
        name="web-proxy",
        service_id="web1",
        service_name="web",
        backend="builtin",
        config={"a": 1, "b": {"c": 1}, "e": 3},
        upstreams=upstreams,
        service_port=8080,
        token=Secret("t"),
        origin=ORIGIN,
    )


def sidecar(**inside: Any) -> dict[str, Any]:
    return {"Connect": {"SidecarService": inside}}


def test_a_sidecar_is_started_where_its_stanza_says_how() -> None:
    one = service(sidecar=BACKEND, body=sidecar(), token=Secret("t"))
    assert wanted(one, proxy_defaults=ProxyDefaults(command=("theirs",), config={"a": 1})) == ManagedProxy(
        id="web1-sidecar-proxy",
        name="web-sidecar-proxy",
        service_id="web1",
        service_name="web",
        backend="mine",
        service_port=8080,
        token=Secret("t"),
        is_sidecar=True,
        origin=ORIGIN,
    )


def test_a_sidecars_own_name_and_token_count() -> None:
    one = service(sidecar=BACKEND, body=sidecar(Name="other"), token=Secret("t"), sidecar_token=Secret("s"))
    proxy = wanted(one)
    assert (proxy.name, proxy.token) == ("other", Secret("s"))


def test_a_service_may_have_both_and_may_have_none() -> None:
    both = service(proxy=NOTHING, sidecar=BACKEND, body=sidecar())
    none = service(id="api", body=sidecar())
    found = wanted_proxies(AgentConfiguration(services=(both, none)))
    assert [proxy.id for proxy in found] == ["web1-proxy", "web1-sidecar-proxy"]


def test_nothing_is_wanted_with_connect_off() -> None:
    one = service(proxy=NOTHING)
    assert wanted_proxies(AgentConfiguration(services=(one,), connect_enabled=False)) == ()


def test_a_proxy_that_only_moved_in_its_file_is_the_same() -> None:
    moved = Origin(file="y.hcl", line=7)
    assert wanted(service(proxy=NOTHING)) == wanted(service(proxy=NOTHING, origin=moved))
