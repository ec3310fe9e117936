"""``POST /v1/agent/connect/authorize``: may this caller reach that service?"""

from __future__ import annotations

from typing import Any

import pytest

from support.agents import AgentUnderTest
from support.consul_api import ApiAnswer
from support.processes import wait_until

pytestmark = pytest.mark.contract

PATH = "/v1/agent/connect/authorize"


def _uri(agent: AgentUnderTest, service: str = "web", datacenter: str = "dc1") -> str:
    domain = agent.api.get("/v1/agent/connect/ca/roots").json["TrustDomain"]
    return f"spiffe://{domain}/ns/default/dc/{datacenter}/svc/{service}"


def _ask(agent: AgentUnderTest, uri: str, target: str = "db", **more: Any) -> ApiAnswer:
    return agent.api.post(PATH, {"Target": target, "ClientCertURI": uri, "ClientCertSerial": "08"} | more)


def _decision(answer: ApiAnswer) -> bool:
    assert answer.status == 200, answer.text
    assert set(answer.json) == {"Authorized", "Reason"}
    return bool(answer.json["Authorized"])


def _decides(agent: AgentUnderTest, uri: str, *, expected: bool, **more: Any) -> bool:
    """Whether the decision is the expected one: at once, or for Consul, whose agent caches, soon."""

    def is_expected() -> bool:
        return _decision(_ask(agent, uri, **more)) is expected

    return is_expected() if agent.kind == "embedded" else wait_until(is_expected, f"authorized: {expected}")


def test_without_a_rule_and_without_acls_it_is_allowed(agent: AgentUnderTest) -> None:
    reason = "ACLs disabled, access is allowed by default"
    # An agent decides from a cache: where a test before had a rule, that counts a moment longer.
    wait_until(lambda: _ask(agent, _uri(agent)).json["Reason"] == reason, reason)
    assert _decides(agent, _uri(agent), expected=True)


def test_the_answer_says_whether_it_came_from_the_cache(agent: AgentUnderTest) -> None:
    assert _ask(agent, _uri(agent)).headers["x-cache"] in ("HIT", "MISS")


@pytest.mark.parametrize(("action", "expected"), [("allow", True), ("deny", False)])
def test_the_reason_names_the_rule(agent: AgentUnderTest, action: str, expected: bool) -> None:
    intention_id = agent.api.set_intention("web", "db", action)
    rule = f"{action.upper()} default/web => default/db (ID: {intention_id}, Precedence: 9)"
    reason = f"Matched intention: {rule}"
    assert wait_until(lambda: _ask(agent, _uri(agent)).json["Reason"] == reason, reason)
    assert _decides(agent, _uri(agent), expected=expected)


def test_a_new_rule_counts(agent: AgentUnderTest) -> None:
    uri = _uri(agent)
    assert _decides(agent, uri, expected=True)
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, uri, expected=False)
    agent.api.set_intention("web", "db", "allow")
    assert _decides(agent, uri, expected=True)
    agent.api.clear_intentions()
    assert _decides(agent, uri, expected=True)


def test_wildcards_and_precedence_decide(agent: AgentUnderTest) -> None:
    agent.api.set_intention("*", "*", "deny")
    agent.api.set_intention("web", "*", "allow")
    assert _decides(agent, _uri(agent), expected=True)
    assert _decides(agent, _uri(agent, "api"), expected=False)
    agent.api.set_intention("*", "db", "deny")
    assert _decides(agent, _uri(agent), expected=False)
    assert _decides(agent, _uri(agent), target="cache", expected=True)


def test_the_source_is_compared_case_sensitively(agent: AgentUnderTest) -> None:
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, _uri(agent, "WEB"), expected=True)


def test_a_percent_encoded_name_is_decoded(agent: AgentUnderTest) -> None:
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, _uri(agent, "we%62"), expected=False)


def test_the_source_datacenter_is_not_looked_at(agent: AgentUnderTest) -> None:
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, _uri(agent, datacenter="dc9"), expected=False)


def test_the_trust_domain_is_not_looked_at(agent: AgentUnderTest) -> None:
    """The chain proved it already: a foreign certificate does not verify under the roots."""
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, "spiffe://fake.consul/ns/default/dc/dc1/svc/web", expected=False)


def test_another_namespace_is_another_source(agent: AgentUnderTest) -> None:
    agent.api.set_intention("web", "db", "deny")
    assert _decides(agent, _uri(agent).replace("/ns/default/", "/ns/other/"), expected=True)


def test_the_serial_does_not_matter(agent: AgentUnderTest) -> None:
    assert _decides(agent, _uri(agent), ClientCertSerial="", expected=True)


def test_the_target_need_not_exist(agent: AgentUnderTest) -> None:
    assert _decides(agent, _uri(agent), target="nobody", expected=True)


def test_a_target_is_needed(agent: AgentUnderTest) -> None:
    answer = _ask(agent, _uri(agent), target="")
    assert (answer.status, "Target service must be specified" in answer.text) == (400, True)


@pytest.mark.parametrize("uri", ["", "tubes", "http://example.invalid/ns/default/dc/dc1/svc/web"])
def test_what_is_no_spiffe_identity_is_refused(agent: AgentUnderTest, uri: str) -> None:
    answer = _ask(agent, uri)
    assert (answer.status, "ClientCertURI not a valid Connect identifier" in answer.text) == (400, True)


@pytest.mark.parametrize("path", ["/gateway/mesh/dc/dc1", "/ns/default/svc/web", "/x"])
def test_what_consul_does_not_know_is_refused(agent: AgentUnderTest, path: str) -> None:
    domain = agent.api.get("/v1/agent/connect/ca/roots").json["TrustDomain"]
    answer = _ask(agent, f"spiffe://{domain}{path}")
    assert (answer.status, "ClientCertURI not a valid Connect identifier" in answer.text) == (400, True)


@pytest.mark.parametrize("path", ["", "/agent/client/dc/dc1/id/n1"])
def test_an_identity_that_is_no_service_is_refused(agent: AgentUnderTest, path: str) -> None:
    domain = agent.api.get("/v1/agent/connect/ca/roots").json["TrustDomain"]
    answer = _ask(agent, f"spiffe://{domain}{path}")
    assert (answer.status, "ClientCertURI not a valid Service identifier" in answer.text) == (400, True)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"Nope": 1}'])
def test_a_body_that_cannot_be_read_is_refused(agent: AgentUnderTest, body: bytes) -> None:
    answer = agent.api.post(PATH, body)
    assert (answer.status, "Request decode failed" in answer.text) == (400, True)
