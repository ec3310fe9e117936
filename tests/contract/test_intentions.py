"""``/v1/connect/intentions``: who may call whom, and which rule decides."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from support.agents import AgentUnderTest

pytestmark = pytest.mark.contract

PATH = "/v1/connect/intentions"
UNKNOWN = "11111111-2222-4333-8444-555555555555"


def _create(agent: AgentUnderTest, source: str, destination: str, action: str = "allow") -> str:
    body = {"SourceName": source, "DestinationName": destination, "Action": action}
    answer = agent.api.post(PATH, body)
    assert answer.status == 200, answer.text
    return str(answer.json["ID"])


def _names(entries: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(entry["SourceName"], entry["DestinationName"], entry["Precedence"]) for entry in entries]


def test_without_intentions_the_list_is_empty(agent: AgentUnderTest) -> None:
    answer = agent.api.get(PATH)
    assert (answer.status, answer.json) == (200, [])
    assert answer.index >= 1


def test_a_new_intention_has_its_defaults_filled_in(agent: AgentUnderTest) -> None:
    intention_id = _create(agent, "web", "db")
    uuid.UUID(intention_id)
    shown = agent.api.get(f"{PATH}/{intention_id}").json
    times = {name: shown.pop(name) for name in ("CreatedAt", "UpdatedAt")}
    indexes = {name: shown.pop(name) for name in ("CreateIndex", "ModifyIndex")}
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", shown.pop("Hash"))
    assert shown == {
        "ID": intention_id,
        "Description": "",
        "SourceNS": "default",
        "SourceName": "web",
        "DestinationNS": "default",
        "DestinationName": "db",
        "SourceType": "consul",
        "Action": "allow",
        "DefaultAddr": "",
        "DefaultPort": 0,
        "Meta": {},
        "Precedence": 9,
    }
    assert times["CreatedAt"] == times["UpdatedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", times["CreatedAt"])
    assert indexes["CreateIndex"] == indexes["ModifyIndex"] > 0


def test_an_intention_is_changed_under_its_id(agent: AgentUnderTest) -> None:
    intention_id = _create(agent, "web", "db")
    body = {"SourceName": "web", "DestinationName": "db", "Action": "deny", "Description": "why"}
    answer = agent.api.put(f"{PATH}/{intention_id}", body | {"ID": "ignored"})
    assert (answer.status, answer.json["ID"]) == (200, intention_id)
    shown = agent.api.get(f"{PATH}/{intention_id}").json
    assert (shown["Action"], shown["Description"]) == ("deny", "why")
    assert shown["ModifyIndex"] > shown["CreateIndex"]


def test_an_intention_is_deleted(agent: AgentUnderTest) -> None:
    intention_id = _create(agent, "web", "db")
    answer = agent.api.delete(f"{PATH}/{intention_id}")
    assert (answer.status, answer.json) == (200, True)
    gone = agent.api.get(f"{PATH}/{intention_id}")
    assert (gone.status, gone.text.strip()) == (404, "Intention not found")


REFUSED = {
    "no destination": ({"SourceName": "web", "Action": "allow"}, "DestinationName must be set"),
    "no source": ({"DestinationName": "db", "Action": "allow"}, "SourceName must be set"),
    "no action": (
        {"SourceName": "web", "DestinationName": "db"},
        "Action must be set to 'allow' or 'deny'",
    ),
    "unknown action": (
        {"SourceName": "web", "DestinationName": "db", "Action": "tubes"},
        "Action must be set to 'allow' or 'deny'",
    ),
    "partial wildcard": (
        {"SourceName": "we*", "DestinationName": "db", "Action": "allow"},
        "wildcard character '*' cannot be used with partial values",
    ),
    "exact name in any namespace": (
        {"SourceNS": "*", "SourceName": "web", "DestinationName": "db", "Action": "allow"},
        "exact value cannot follow wildcard namespace",
    ),
    "long description": (
        {"SourceName": "web", "DestinationName": "db", "Action": "allow", "Description": "x" * 600},
        "Description exceeds maximum length",
    ),
    "an id": (
        {"ID": UNKNOWN, "SourceName": "web", "DestinationName": "db", "Action": "allow"},
        "ID must be empty when creating a new intention",
    ),
    "unknown field": ({"Nope": 1}, 'unknown field "Nope"'),
    "truncated JSON": (b"{", "Failed to decode request body"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_intention_is_refused(agent: AgentUnderTest, case: str) -> None:
    body, words = REFUSED[case]
    answer = agent.api.post(PATH, body)
    assert (answer.status, words in answer.text) == (500, True), f"{answer.status}: {answer.text}"
    assert agent.api.get(PATH).json == []


def test_all_faults_are_told_at_once(agent: AgentUnderTest) -> None:
    answer = agent.api.post(PATH, {"SourceName": "we*", "DestinationName": "", "Action": "tubes"})
    assert "3 errors occurred" in answer.text


def test_a_second_intention_for_the_same_pair_quotes_the_first(agent: AgentUnderTest) -> None:
    intention_id = _create(agent, "web", "db")
    body = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
    answer = agent.api.post(PATH, body)
    assert answer.status == 500
    assert "duplicate intention found: ALLOW default/web => default/db" in answer.text
    assert intention_id in answer.text


def test_changing_one_into_another_is_refused(agent: AgentUnderTest) -> None:
    _create(agent, "web", "db")
    other = _create(agent, "api", "db")
    body = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
    answer = agent.api.put(f"{PATH}/{other}", body)
    assert (answer.status, "duplicate intention found" in answer.text) == (500, True)


def test_unknown_ids(agent: AgentUnderTest) -> None:
    body = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
    assert agent.api.get(f"{PATH}/{UNKNOWN}").status == 404
    assert agent.api.get(f"{PATH}/tubes").status == 400
    changed = agent.api.put(f"{PATH}/{UNKNOWN}", body)
    assert (changed.status, "Cannot modify non-existent intention" in changed.text) == (500, True)
    deleted = agent.api.delete(f"{PATH}/{UNKNOWN}")
    assert (deleted.status, "Cannot delete non-existent intention" in deleted.text) == (500, True)


def test_the_list_is_sorted_by_precedence(agent: AgentUnderTest) -> None:
    for source, destination in (("*", "*"), ("web", "*"), ("*", "db"), ("web", "db"), ("api", "db")):
        _create(agent, source, destination)
    assert _names(agent.api.get(PATH).json) == [
        ("api", "db", 9),
        ("web", "db", 9),
        ("*", "db", 8),
        ("web", "*", 6),
        ("*", "*", 5),
    ]


def test_match_gives_what_could_apply(agent: AgentUnderTest) -> None:
    for source, destination in (("*", "*"), ("web", "*"), ("*", "db"), ("web", "db"), ("api", "cache")):
        _create(agent, source, destination)
    by_source = agent.api.get(f"{PATH}/match", by="source", name="web").json
    assert _names(by_source["web"]) == [
        ("web", "db", 9),
        ("*", "db", 8),
        ("web", "*", 6),
        ("*", "*", 5),
    ]
    by_destination = agent.api.get(f"{PATH}/match", by="destination", name=["db", "default/cache"]).json
    assert _names(by_destination["db"]) == _names(by_source["web"])
    assert _names(by_destination["default/cache"]) == [("api", "cache", 9), ("web", "*", 6), ("*", "*", 5)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "required query parameter 'by' not set"),
        ({"by": "tubes", "name": "web"}, "'by' parameter must be one of 'source' or 'destination'"),
        ({"by": "source"}, "required query parameter 'name' not set"),
        ({"by": "source", "name": "a/b/c"}, "at most one '/'"),
    ],
)
def test_match_needs_its_parameters(agent: AgentUnderTest, query: dict[str, str], words: str) -> None:
    answer = agent.api.get(f"{PATH}/match", **query)
    assert (answer.status, words in answer.text) == (500, True), answer.text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"source": "web"}, "required query parameter 'destination' not set"),
        ({"destination": "db"}, "required query parameter 'source' not set"),
        ({"source": "a/b/c", "destination": "db"}, "at most one '/'"),
    ],
)
def test_check_needs_its_parameters(agent: AgentUnderTest, query: dict[str, str], words: str) -> None:
    answer = agent.api.get(f"{PATH}/check", **query)
    assert (answer.status, words in answer.text) == (500, True), answer.text


def _allowed(agent: AgentUnderTest, source: str, destination: str) -> bool:
    answer = agent.api.get(f"{PATH}/check", source=source, destination=destination).json
    assert set(answer) == {"Allowed"}
    return bool(answer["Allowed"])


def test_without_a_rule_everything_is_allowed_where_there_are_no_acls(agent: AgentUnderTest) -> None:
    assert _allowed(agent, "web", "db")


def test_the_rule_of_the_highest_precedence_decides(agent: AgentUnderTest) -> None:
    _create(agent, "*", "*", "deny")
    assert not _allowed(agent, "web", "db")
    _create(agent, "web", "*", "allow")
    assert _allowed(agent, "web", "db")
    # The destination's rule beats the source's.
    _create(agent, "*", "db", "deny")
    assert not _allowed(agent, "web", "db")
    assert _allowed(agent, "web", "cache")
    _create(agent, "web", "db", "allow")
    assert _allowed(agent, "web", "db")
    assert not _allowed(agent, "api", "db")
    assert _allowed(agent, "default/web", "default/db")


def test_names_are_case_sensitive(agent: AgentUnderTest) -> None:
    _create(agent, "web", "db", "deny")
    assert not _allowed(agent, "web", "db")
    assert _allowed(agent, "WEB", "db")
