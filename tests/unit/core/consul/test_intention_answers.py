"""L7 permissions as Consul 1.9 and newer list them; what is not understood never allows."""

from __future__ import annotations

from typing import Any

import pytest

from connect_proxy.consul import wire
from connect_proxy.errors import AgentAnswerError
from connect_proxy.mesh.intentions import HeaderMatch, Intention, Permission
from support import consul_answers

HERE = "GET /v1/connect/intentions/match"


def _read(**fields: Any) -> Intention:
    (found,) = wire.intentions([consul_answers.intention("web", "db", "") | fields], endpoint=HERE)
    return found


def test_permissions_are_read_in_their_order() -> None:
    found = _read(
        Permissions=[
            {"Action": "deny", "HTTP": {"PathExact": "/admin", "PathPrefix": "", "Methods": None}},
            {
                "Action": "allow",
                "HTTP": {
                    "PathPrefix": "/v2",
                    "Methods": ["GET", "HEAD"],
                    "Header": [
                        {"Name": "x-debug", "Present": True, "Invert": True},
                        {"Name": "x-kind", "Suffix": "y", "IgnoreCase": True},
                    ],
                },
            },
            {"Action": "allow", "HTTP": {"PathRegex": "/[0-9]+"}},
        ]
    )
    assert found.permissions == (
        Permission(allow=False, path_exact="/admin"),
        Permission(
            allow=True,
            path_prefix="/v2",
            methods=("GET", "HEAD"),
            headers=(
                HeaderMatch(name="x-debug", present=True, invert=True),
                HeaderMatch(name="x-kind", suffix="y", ignore_case=True),
            ),
        ),
        Permission(allow=True, path_regex="/[0-9]+"),
    )
    assert not found.allow
    assert found.not_understood == ()


def test_with_permissions_the_action_allows_nothing() -> None:
    found = _read(Action="allow", Permissions=[{"Action": "allow"}])
    assert not found.allow
    assert found.permissions == (Permission(allow=True),)


@pytest.mark.parametrize(
    ("permission", "key"),
    [
        ({"JWT": {"Providers": [{"Name": "p"}]}}, "JWT"),
        ({"HTTP": {"PathGlob": "/a/*"}}, "PathGlob"),
        ({"HTTP": {"Header": [{"Name": "a", "Exact": "b", "Fuzzy": 3}]}}, "Fuzzy"),
        ({"HTTP": {"Header": [{"Name": "a"}]}}, "Header without a comparison"),
    ],
)
def test_a_condition_that_is_not_understood_takes_the_permission_away(
    permission: dict[str, Any], key: str
) -> None:
    found = _read(Permissions=[{"Action": "allow", **permission}])
    assert [each.allow for each in found.permissions] == [False]
    assert found.not_understood == (key,)


def test_an_intention_that_asks_for_a_token_allows_nothing() -> None:
    token = {"Providers": [{"Name": "p"}]}
    for fields in ({"Action": "allow"}, {"Permissions": [{"Action": "allow"}]}):
        found = _read(JWT=token, **fields)
        assert not found.allow
        assert found.permissions == ()
        assert found.not_understood == ("JWT",)
    assert _read(JWT=None, Action="allow").allow


def test_permissions_that_are_no_list_are_refused() -> None:
    with pytest.raises(AgentAnswerError, match="Permissions"):
        _read(Permissions={"Action": "allow"})
