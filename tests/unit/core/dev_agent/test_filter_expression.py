import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_proxy.dev_agent.filter_expression import DEEPEST, FilterError, compile_filter

SIDECAR = {
    "Kind": "connect-proxy",
    "ID": "web-sidecar-proxy",
    "Port": 21000,
    "Tags": ["v1", "prod"],
    "Meta": {"env": "prod", "odd key": "x"},
    "EnableTagOverride": False,
    "Proxy": {"Upstreams": [{"DestinationName": "db"}, {"DestinationName": "cache"}]},
}


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("", True),
        ('Kind == "connect-proxy"', True),
        ('Kind != "connect-proxy"', False),
        ("Kind == `connect-proxy`", True),
        ("Kind == connect-proxy", True),
        ("Port == 21000", True),
        ("EnableTagOverride == false", True),
        ('Absent == ""', True),
        ("Meta.env == prod", True),
        ('Meta["odd key"] == "x"', True),
        ('"v1" in Tags', True),
        ('"v2" in Tags', False),
        ('"v2" not in Tags', True),
        ('Tags contains "prod"', True),
        ('Tags not contains "prod"', False),
        ('"env" in Meta', True),
        ("Tags is empty", False),
        ("Tags is not empty", True),
        ("Absent is empty", True),
        ('ID matches "^web-.*proxy$"', True),
        ('ID not matches "^web"', False),
        ('Proxy.Upstreams.DestinationName == "cache"', True),
        ('not Kind == "x"', True),
        ('Kind == "x" or Port == 21000', True),
        ('Kind == "x" and Port == 21000', False),
        ('Kind == "x" and Kind == "y" or Port == 21000', True),
        ('Port == 21000 and (Kind == "x" or Meta.env == "prod")', True),
        ('not (Port == 21000 or Kind == "x")', False),
        ('ID == "say \\"hi\\""', False),
    ],
)
def test_an_expression_chooses_what_it_says(expression: str, matches: bool) -> None:
    assert compile_filter(expression)(SIDECAR) is matches


@pytest.mark.parametrize(
    "expression",
    [
        "bogus",
        "Kind ==",
        '== "x"',
        'Kind == "x" and',
        '(Kind == "x"',
        'Kind == "x")',
        "Kind is full",
        'ID matches "["',
        "Kind = 1",
        "not",
        "Meta[",
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(FilterError):
        compile_filter(expression)


@given(st.text(alphabet='ab ."()=!`[]\\', max_size=20) | st.text(max_size=20))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        compile_filter(text)(SIDECAR)
    except FilterError as exc:
        assert str(exc)  # noqa: PT017 - whichever of the two happens is fine


@pytest.mark.parametrize(
    ("opening", "closing", "levels"), [("(", ")", 1), ("not ", "", 1), ("(not ", ")", 2)]
)
def test_nesting_has_an_end(opening: str, closing: str, levels: int) -> None:
    def nested(times: int) -> str:
        return opening * times + "Port == 21000" + closing * times

    assert compile_filter(nested(DEEPEST // levels))(SIDECAR)
    with pytest.raises(FilterError, match=f"more than {DEEPEST} levels"):
        compile_filter(nested(100 * DEEPEST))


@pytest.mark.parametrize("word", ["and", "or"])
def test_a_chain_may_be_as_long_as_it_likes(word: str) -> None:
    assert compile_filter(f" {word} ".join(["Port == 21000"] * 5000))(SIDECAR)


def test_a_pattern_that_is_nested_too_deeply_is_an_error() -> None:
    with pytest.raises(FilterError, match="error parsing regexp"):
        compile_filter('ID matches "' + "(" * 5000 + ")" * 5000 + '"')
