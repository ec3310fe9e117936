from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.changes import INTENTIONS, Changes
from connect_proxy.dev_agent.intentions import Intentions, intention_json
from connect_proxy.errors import ApiError

UNKNOWN = "11111111-1111-1111-1111-111111111111"
names = st.sampled_from(["web", "db", "api", "*"])


def rule(source: str, destination: str, action: str = "deny", **fields: Any) -> dict[str, Any]:
    return {"SourceName": source, "DestinationName": destination, "Action": action, **fields}


@pytest.fixture
def intentions() -> Intentions:
    return Intentions(changes=Changes())


def decide(intentions: Intentions, source: str, destination: str) -> bool | None:
    decided = intentions.decide(source=("default", source), destination=("default", destination))
    return None if decided is None else decided.rule.allow


def test_what_is_stored_is_shown_with_defaults_and_precedence(intentions: Intentions) -> None:
    intention_id = intentions.create(rule("web", "db", "allow", Description="d", Meta={"a": "b"}))
    shown = intention_json(intentions.get(intention_id))
    assert (
        shown.items()
        >= {
            "ID": intention_id,
            "SourceNS": "default",
            "SourceName": "web",
            "DestinationNS": "default",
            "DestinationName": "db",
            "SourceType": "consul",
            "Action": "allow",
            "Description": "d",
            "Meta": {"a": "b"},
            "Precedence": 9,
        }.items()
    )
    assert shown["CreatedAt"].endswith("Z")


def test_the_more_exact_rule_decides_and_the_destination_counts_more(intentions: Intentions) -> None:
    intentions.create(rule("*", "*", "deny"))
    assert decide(intentions, "web", "db") is False
    intentions.create(rule("web", "*", "allow"))
    assert decide(intentions, "web", "db") is True
    intentions.create(rule("*", "db", "deny"))
    assert decide(intentions, "web", "db") is False
    intentions.create(rule("web", "db", "allow"))
    assert decide(intentions, "web", "db") is True
    assert [stored.rule.precedence for stored in intentions.all()] == [9, 8, 6, 5]


def test_names_are_compared_with_their_letter_case(intentions: Intentions) -> None:
    intentions.create(rule("web", "db", "deny"))
    assert decide(intentions, "WEB", "db") is None


@given(st.dictionaries(st.tuples(names, names), st.booleans()), names, names)
def test_the_decision_is_that_of_the_highest_matching_rule(
    rules: dict[tuple[str, str], bool], source: str, destination: str
) -> None:
    stored = Intentions(changes=Changes())
    for (from_name, to_name), allow in rules.items():
        stored.create(rule(from_name, to_name, "allow" if allow else "deny"))
    order = [(source, destination), ("*", destination), (source, "*"), ("*", "*")]
    expected = next((rules[pair] for pair in order if pair in rules), None)
    assert decide(stored, source, destination) == expected


def test_a_match_by_source_lists_every_rule_that_covers_it(intentions: Intentions) -> None:
    for source, destination in [("web", "db"), ("*", "db"), ("api", "db"), ("web", "*")]:
        intentions.create(rule(source, destination))
    found = intentions.match(by="source", namespace="default", name="web")
    assert [(each.rule.source_name, each.rule.destination_name) for each in found] == [
        ("web", "db"),
        ("*", "db"),
        ("web", "*"),
    ]


def test_a_second_rule_for_the_same_pair_is_refused_with_the_first(intentions: Intentions) -> None:
    intention_id = intentions.create(rule("web", "db", "allow"))
    with pytest.raises(ApiError) as caught:
        intentions.create(rule("web", "db"))
    assert str(caught.value) == (
        f"duplicate intention found: ALLOW default/web => default/db (ID: {intention_id}, Precedence: 9)"
    )


def test_an_update_keeps_the_id_and_when_it_was_made(intentions: Intentions) -> None:
    intention_id = intentions.create(rule("web", "db", "allow"))
    old = intentions.get(intention_id)
    intentions.update(intention_id, rule("web", "db", "deny", ID=UNKNOWN))
    new = intentions.get(intention_id)
    assert (new.rule.allow, new.created_at, new.create_index) == (False, old.created_at, old.create_index)
    assert new.modify_index > old.modify_index


def test_every_write_moves_the_index(intentions: Intentions) -> None:
    indexes = [intentions.changes.index(INTENTIONS)]
    intention_id = intentions.create(rule("a", "b"))
    indexes.append(intentions.changes.index(INTENTIONS))
    intentions.update(intention_id, rule("a", "b", "allow"))
    indexes.append(intentions.changes.index(INTENTIONS))
    intentions.delete(intention_id)
    indexes.append(intentions.changes.index(INTENTIONS))
    assert indexes == [1, 1, 2, 3]
    assert intentions.all() == []


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        (
            {},
            [
                "SourceName must be set",
                "DestinationName must be set",
                "Action must be set to 'allow' or 'deny'",
            ],
        ),
        (
            rule("we*", "d*"),
            [
                "SourceName: wildcard character '*' cannot be used with partial values",
                "DestinationName: wildcard character '*' cannot be used with partial values",
            ],
        ),
        (rule("a", "b", SourceNS="*"), ["SourceName: exact value cannot follow wildcard namespace"]),
        (rule("a", "b", "maybe"), ["Action must be set to 'allow' or 'deny'"]),
        (rule("a", "b", SourceType="odd"), ["SourceType must be set to 'consul'"]),
        (rule("a", "b", Description="x" * 513), ["Description exceeds maximum length 512"]),
    ],
)
def test_mistakes_are_listed_together(
    intentions: Intentions, body: dict[str, Any], complaints: list[str]
) -> None:
    with pytest.raises(ApiError) as caught:
        intentions.create(body)
    assert caught.value.status == 500
    assert [line[3:] for line in str(caught.value).splitlines() if line.startswith("\t* ")] == complaints


def test_unknown_and_malformed_ids_are_told_apart(intentions: Intentions) -> None:
    for call, status, text in [
        (lambda: intentions.get(UNKNOWN), 404, "Intention not found"),
        (lambda: intentions.get("zz"), 400, "UUID must be 36 characters"),
        (lambda: intentions.delete(UNKNOWN), 500, f"Cannot delete non-existent intention: '{UNKNOWN}'"),
        (lambda: intentions.update(UNKNOWN, {}), 500, f"Cannot modify non-existent intention: '{UNKNOWN}'"),
        (lambda: intentions.create({"ID": "x"}), 500, "ID must be empty when creating a new intention"),
    ]:
        with pytest.raises(ApiError) as caught:
            call()  # type: ignore[no-untyped-call]
        assert caught.value.status == status
        assert text in str(caught.value)
