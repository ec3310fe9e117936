"""What a reload says it does."""

from __future__ import annotations

from typing import Any

from connect_proxy.managed.difference import Difference, changed_keys, reload_lines
from connect_proxy.managed.registrations import CHECK_PREFIX, Wanted
from connect_proxy.mesh.immutable import frozen
from connect_proxy.secret import Secret


def wanted(name: str, service: str = "", **body: Any) -> Wanted:
    return Wanted(id=name, service_id=service or name, body=frozen(body))


def test_what_a_proxy_learns_live_is_named_too() -> None:
    before = [wanted("api-proxy", "api", Proxy={"Upstreams": [{"LocalBindPort": 1}], "Config": {}})]
    after = [wanted("api-proxy", "api", Proxy={"Upstreams": [{"LocalBindPort": 2}], "Config": {}})]
    plan = Difference(kept=("api-proxy",))
    assert reload_lines(plan, before, after) == ("~ api-proxy (in place: Proxy.Upstreams)",)


def test_services_and_checks_come_go_and_change() -> None:
    before = [wanted("web", Port=1, Tags=["a"]), wanted("old"), wanted(f"{CHECK_PREFIX}disk", TTL="1s")]
    after = [wanted("web", Port=2), wanted("new"), wanted(f"{CHECK_PREFIX}disk", TTL="2s")]
    assert reload_lines(Difference(), before, after) == (
        "+ service new",
        "- service old",
        "~ check disk (in place: TTL)",
        "~ service web (in place: Port, Tags)",
    )


def test_a_restarted_proxy_is_named_once() -> None:
    before = [wanted("api-proxy", "api", Port=1)]
    after = [wanted("api-proxy", "api", Port=2)]
    plan = Difference(changed=("api-proxy",))
    assert reload_lines(plan, before, after) == ("~ api-proxy (restart)",)


def test_a_changed_token_is_named_and_not_shown() -> None:
    old = Wanted(id="web", service_id="web", body=frozen({"Port": 1}), token=Secret("first"))
    new = Wanted(id="web", service_id="web", body=frozen({"Port": 1}), token=Secret("second"))
    assert changed_keys(old, new) == ("Token",)


def test_the_same_files_change_nothing() -> None:
    body: dict[str, Any] = {"Port": 1, "Connect": {"SidecarService": {"Proxy": {"Upstreams": [1, 2]}}}}
    assert (
        reload_lines(Difference(kept=("web-proxy",)), [wanted("web", **body)], [wanted("web", **body)])
        == ()
    )
