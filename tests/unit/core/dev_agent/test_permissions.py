"""L7 permissions in the embedded agent: kept as given, refused where they cannot be meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connect_proxy.dev_agent.changes import Changes
from connect_proxy.dev_agent.decoding import DecodeError, decode_body
from connect_proxy.dev_agent.intentions import BODY, EXACT_BODY, Intentions, intention_json
from connect_proxy.errors import ApiError

NAMES = {"SourceName": "api", "DestinationName": "web"}


def _create(**fields: Any) -> dict[str, Any]:
    """What the agent shows of an intention that was made of *fields*."""
    intentions = Intentions(changes=Changes())
    body = decode_body(json.dumps(NAMES | fields).encode(), EXACT_BODY)
    return intention_json(intentions.get(intentions.create(body)))


def test_permissions_are_shown_as_they_were_given_without_what_is_empty() -> None:
    given = {
        "Action": "allow",
        "HTTP": {
            "PathPrefix": "/v1",
            "PathExact": "",
            "Methods": ["GET", "PUT"],
            "Header": [{"Name": "x-debug", "Present": True, "Invert": False}],
        },
    }
    found = _create(Permissions=[given])
    assert found["Permissions"] == [
        {
            "Action": "allow",
            "HTTP": {
                "PathPrefix": "/v1",
                "Methods": ["GET", "PUT"],
                "Header": [{"Name": "x-debug", "Present": True}],
            },
        }
    ]
    assert "Action" not in found


def test_an_intention_with_permissions_allows_no_connection() -> None:
    intentions = Intentions(changes=Changes())
    body = NAMES | {"Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]}
    intentions.create(body)
    decided = intentions.decide(source=("default", "api"), destination=("default", "web"))
    assert decided is not None
    assert not decided.rule.allow
    assert str(decided).startswith("1 permission default/api => default/web (ID: ")


def test_an_intention_without_permissions_shows_none() -> None:
    assert "Permissions" not in _create(Action="allow", Permissions=[])


@pytest.mark.parametrize(
    ("permission", "complaint"),
    [
        ({"Action": "maybe", "HTTP": {"PathExact": "/a"}}, "Permissions[0].Action must be set"),
        ({"Action": "allow"}, "Permissions[0].HTTP must be set"),
        ({"Action": "allow", "HTTP": {"PathExact": "/a", "PathRegex": "/b"}}, "only one of them"),
        ({"Action": "allow", "HTTP": {"PathPrefix": "a"}}, "PathPrefix doesn't start with '/'"),
        ({"Action": "allow", "HTTP": {"PathRegex": "("}}, "PathRegex is no regular expression: '('"),
        ({"Action": "allow", "HTTP": {"Methods": ["get"]}}, "invalid method 'get'"),
        ({"Action": "allow", "HTTP": {"Methods": ["GET", "GET"]}}, "the same method twice"),
        ({"Action": "allow", "HTTP": {"Header": [{"Exact": "a"}]}}, "Header[0].Name is required"),
        ({"Action": "allow", "HTTP": {"Header": [{"Name": "a"}]}}, "Header[0]: exactly one of"),
        (
            {"Action": "allow", "HTTP": {"Header": [{"Name": "a", "Regex": "("}]}},
            "Header[0].Regex is no regular expression",
        ),
    ],
)
def test_a_permission_that_cannot_be_meant_is_refused(permission: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ApiError) as caught:
        _create(Permissions=[permission])
    assert complaint in str(caught.value)


def test_permissions_stand_in_the_place_of_an_action_and_for_one_destination() -> None:
    permissions = [{"Action": "allow", "HTTP": {"PathExact": "/a"}}]
    for fields, complaint in (
        ({"Action": "allow"}, "Action must be omitted"),
        ({"DestinationName": "*"}, "wildcarded destinations"),
    ):
        with pytest.raises(ApiError, match=complaint):
            _create(Permissions=permissions, **fields)


def test_the_older_endpoints_know_no_permissions() -> None:
    with pytest.raises(DecodeError, match="Permissions"):
        decode_body(b'{"Permissions": []}', BODY)
