"""L7 permissions as RBAC: the same decisions for any set of intentions and any request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.mesh.intentions import HeaderMatch, Intention, Permission
from connect_proxy.mesh.spiffe import ServiceIdentity
from connect_proxy_envoy.resources.http_rbac import http_rbac_rules
from connect_proxy_envoy.resources.rbac import rbac_rules
from support.envoy_snapshot import TRUST_DOMAIN, intention
from support.intention_sets import (
    NAMES,
    REQUESTS,
    Request,
    consul_decides_request,
    decides,
    intention_sets,
)


@given(
    intentions=intention_sets(namespaces=["default"]),
    default=st.booleans(),
    name=st.sampled_from([*NAMES, "other"]),
    request=REQUESTS,
)
def test_envoy_decides_requests_as_consul_does(
    intentions: list[Intention], default: bool, name: str, request: Request
) -> None:
    rules = http_rbac_rules(intentions, default_allow=default, trust_domain=TRUST_DOMAIN)
    caller = ServiceIdentity(trust_domain=TRUST_DOMAIN, datacenter="dc1", service=name)
    assert decides(rules, caller.uri, request) == consul_decides_request(
        intentions, request, default=default, name=name
    )


@given(intentions=intention_sets(namespaces=["default", "team"]), default=st.booleans())
def test_without_permissions_requests_and_connections_have_the_same_rules(
    intentions: list[Intention], default: bool
) -> None:
    plain = [rule for rule in intentions if not rule.permissions]
    requests = http_rbac_rules(plain, default_allow=default, trust_domain="td")
    assert requests == rbac_rules(plain, default_allow=default, trust_domain="td")


def test_an_earlier_permission_is_taken_out_of_a_later_one() -> None:
    admin, reading = Permission(allow=False, path_prefix="/admin"), Permission(allow=True, methods=("GET",))
    rules = http_rbac_rules(
        [intention("cron", allow=True), intention("web", allow=False, permissions=(admin, reading))],
        default_allow=False,
        trust_domain="td",
    )
    assert list(rules["policies"]) == ["consul-intentions-layer7-1", "consul-intentions-layer4"]
    assert rules["policies"]["consul-intentions-layer7-1"]["permissions"] == [
        {
            "andRules": {
                "rules": [
                    {"header": {"name": ":method", "stringMatch": {"safeRegex": {"regex": "GET"}}}},
                    {"notRule": {"urlPath": {"path": {"prefix": "/admin"}}}},
                ]
            }
        }
    ]


def test_permissions_that_say_what_the_default_says_vanish() -> None:
    denied = intention("web", allow=False, permissions=(Permission(allow=False, path_exact="/a"),))
    assert http_rbac_rules([denied], default_allow=False, trust_domain="td") == {}
    everybody = intention("*", allow=True)
    rules = http_rbac_rules([denied, everybody], default_allow=False, trust_domain=TRUST_DOMAIN)
    web = f"spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/web"
    assert not decides(rules, web, Request(path="/b")), "its own intention decides, and then the default"


def test_a_header_that_is_asked_for_in_any_way_is_told_so_to_envoy() -> None:
    headers = (
        HeaderMatch(name="a", exact="1", ignore_case=True),
        HeaderMatch(name="b", prefix="2"),
        HeaderMatch(name="c", suffix="3"),
        HeaderMatch(name="d", contains="4", invert=True),
        HeaderMatch(name="e", regex="5+"),
        HeaderMatch(name="f", present=True),
    )
    permission = Permission(allow=True, path_regex="/x.*", headers=headers)
    rules = http_rbac_rules(
        [intention("web", allow=False, permissions=(permission,))], default_allow=False, trust_domain="td"
    )
    [told] = rules["policies"]["consul-intentions-layer7-0"]["permissions"]
    assert told["andRules"]["rules"] == [
        {"urlPath": {"path": {"safeRegex": {"regex": "/x.*"}}}},
        {"header": {"name": "a", "stringMatch": {"exact": "1", "ignoreCase": True}}},
        {"header": {"name": "b", "stringMatch": {"prefix": "2"}}},
        {"header": {"name": "c", "stringMatch": {"suffix": "3"}}},
        {"header": {"name": "d", "stringMatch": {"contains": "4"}, "invertMatch": True}},
        {"header": {"name": "e", "stringMatch": {"safeRegex": {"regex": "5+"}}}},
        {"header": {"name": "f", "presentMatch": True}},
    ]
